package mailbox

// Faults of a mailbox, as stable codes.
const (
	FaultUnreachable  = "unreachable"
	FaultCertificate  = "certificate"
	FaultNoTLS        = "no_tls"
	FaultPreauth      = "preauth"
	FaultSecret       = "secret_missing"
	FaultLogin        = "login_refused"
	FaultNoMethod     = "auth_not_offered"
	FaultToken        = "token_refused"
	FaultTokenAway    = "token_unreachable"
	FaultFolder       = "folder_missing"
	FaultFolderCreate = "folder_not_created"
	FaultMove         = "move_refused"
	FaultProtocol     = "protocol"
	FaultCut          = "cut"
	FaultSlow         = "timeout"
	FaultIntake       = "intake"
	FaultOurs         = "internal"
)

// sentences say each fault to a person of the town hall: what is wrong, what to do.
var sentences = map[string]string{
	FaultUnreachable:  "Le serveur de messagerie ne répond pas. Vérifiez son nom, son port et le pare-feu.",
	FaultCertificate:  "Le certificat du serveur de messagerie n’est pas valable : nom différent, date dépassée ou autorité inconnue. La connexion est refusée.",
	FaultNoTLS:        "Le serveur de messagerie ne propose pas STARTTLS : rien n’est envoyé en clair.",
	FaultPreauth:      "Le serveur de messagerie prétend que la connexion est déjà ouverte, sans mot de passe. Elle est refusée.",
	FaultSecret:       "Le mot de passe ou le jeton de cette boîte n’est pas enregistré, ou n’est plus lisible. Enregistrez-le : vaguemestre tenant secret set.",
	FaultLogin:        "Le serveur de messagerie refuse l’identifiant ou le mot de passe.",
	FaultNoMethod:     "Le serveur de messagerie n’accepte pas cette façon de s’identifier. Changez le réglage « auth ».",
	FaultToken:        "Le fournisseur refuse de donner un jeton d’accès : l’autorisation a expiré ou a été retirée. Renouvelez-la.",
	FaultTokenAway:    "Le service qui donne les jetons d’accès ne répond pas.",
	FaultFolder:       "Le dossier à relever n’existe pas, ou n’est pas accessible.",
	FaultFolderCreate: "Le dossier où ranger les messages n’existe pas et le serveur refuse de le créer.",
	FaultMove:         "Le serveur refuse de déplacer les messages déjà enregistrés. Ils ne seront pas enregistrés une seconde fois.",
	FaultProtocol:     "Le serveur de messagerie a répondu d’une façon qui n’est pas conforme. La connexion a été coupée par précaution.",
	FaultCut:          "La connexion au serveur de messagerie a été coupée. La relève reprend d’elle-même.",
	FaultSlow:         "Le serveur de messagerie a mis trop de temps à répondre. La relève reprend d’elle-même.",
	FaultIntake:       "Les messages ne peuvent pas être enregistrés pour l’instant. Ils restent dans la boîte ; la relève reprend d’elle-même.",
	FaultOurs:         "Une erreur interne a interrompu la relève ; le journal technique en dit plus. Elle reprend d’elle-même.",
}

// Sentence says a fault in French; "" for none.
func Sentence(code string) string {
	if code == "" {
		return ""
	}
	if s, ok := sentences[code]; ok {
		return s
	}
	return sentences[FaultOurs]
}

// Codes of messages.
const (
	CodeTooLarge  = "too_large"  // refused
	CodeNoAddress = "no_address" // refused
	CodeUnread    = "unreadable" // failed: the server did not hand it over, several times
	CodeLater     = "later"      // failed: it could not be recorded
)

var messageSentences = map[string]string{
	CodeTooLarge:       "Ce message est trop volumineux.",
	CodeNoAddress:      "Ce message n’a été envoyé à aucune adresse de dépôt de la collectivité.",
	CodeUnread:         "Le serveur de messagerie ne remet pas ce message en entier. Il sera demandé de nouveau.",
	CodeLater:          "Ce message n’a pas pu être enregistré. Il sera repris.",
	"header_too_large": "L’en-tête de ce message est trop long pour être lu.",
}

// MessageSentence says in French why a message is refused, or has to wait.
func MessageSentence(code string) string { return messageSentences[code] }
