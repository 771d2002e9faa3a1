package catalogue

// Signals are the signs by which a document is recognised, in decreasing weight.
// Phrases are written as the paper prints them; case, accents, punctuation and line
// breaks do not count, and the longer a phrase the more wrong letters it survives.
type Signals struct {
	Titles  []string `yaml:"titles,omitempty,flow"`  // what stands at the head of the document
	Codes   []Code   `yaml:"codes,omitempty,flow"`   // what a machine can check
	Marks   []string `yaml:"marks,omitempty,flow"`   // words hardly any other paper prints
	Issuers []string `yaml:"issuers,omitempty,flow"` // who makes it
	Terms   []string `yaml:"terms,omitempty,flow"`   // words it usually has, as others may
	Against []string `yaml:"against,omitempty,flow"` // words that speak for something else
}

// Code is a sign with a check of its own.
type Code string

// The codes that are looked for.
const (
	MRZIdentity  Code = "mrz_identity"  // French identity card: TD1, or 2 × 36
	MRZPassport  Code = "mrz_passport"  // TD3
	MRZResidence Code = "mrz_residence" // TD1 of a residence permit
	MRZLicence   Code = "mrz_licence"   // one line, D1FRA
	MRZVehicle   Code = "mrz_vehicle"   // two lines, CRFRA
	IBAN         Code = "iban"          // mod 97 (ISO 13616)
	NIR          Code = "nir"           // 15 digits with its key; a sign only, never repeated
	SIRET        Code = "siret"         // Luhn
	FiscalNumber Code = "fiscal_number" // 13 digits beside its name
	Plate        Code = "plate"         // AA-123-AA
)

// Reading says where on the paper the facts stand.
type Reading struct {
	Holder  Holder   `yaml:"holder,omitempty"`
	Issued  []string `yaml:"issued,omitempty,flow"`  // labels, the best first
	Expires []string `yaml:"expires,omitempty,flow"` // labels, the best first
	Period  []Form   `yaml:"period,omitempty,flow"`  // forms to look for, the best first
}

// Holder says how the person the proof is about is found. The ways are tried in this order.
type Holder struct {
	MRZ       bool     `yaml:"mrz,omitempty"`
	After     []string `yaml:"after,omitempty,flow"`   // the name follows these words
	Before    []string `yaml:"before,omitempty,flow"`  // the name comes shortly before these words
	Surname   []string `yaml:"surname,omitempty,flow"` // surname and given name stand apart, each after its label
	Given     []string `yaml:"given,omitempty,flow"`
	Addressee bool     `yaml:"addressee,omitempty"` // whoever the paper was posted to
	Also      []string `yaml:"also,omitempty,flow"` // a further person follows these words: the host
	Several   bool     `yaml:"several,omitempty"`   // the proof may be about a couple: surname and given name are looked for twice
}

// Form is the way a period is printed.
type Form string

// The forms of a period.
const (
	FormSpan       Form = "span"        // du 01/12/2025 au 28/02/2026
	FormMonth      Form = "month"       // mars 2026
	FormSchoolYear Form = "school_year" // 2025-2026: 1 September to 31 August
	FormIncomeYear Form = "income_year" // revenus de 2025: the calendar year
)
