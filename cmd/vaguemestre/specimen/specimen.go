// Package specimen makes the papers of people who do not exist: a paper is laid out
// once, and comes as a PDF with a text layer or as a photo taken of it on a table.
package specimen

import (
	"fmt"
	"strings"
	"time"
)

// Person is whose paper it is.
type Person struct{ Given, Family, Street, City string }

// Paper is one A4 page, laid out in millimetres from its upper left corner.
type Paper struct{ marks []mark }

const (
	pageWidth  = 210.0
	pageHeight = 297.0
	pointsToMM = 25.4 / 72
)

// mark is a line of text on its baseline, or a grey box when it has no text.
type mark struct {
	x, y float64
	w, h float64 // of a box
	grey float64 // of a box: 0 black, 1 white
	size float64 // of a text, in points
	bold bool
	text string
}

// french sets a line as French printers do.
var french = strings.NewReplacer("'", "’", " :", "\u00a0:", " €", "\u00a0€", " %", "\u00a0%")

func (p *Paper) text(x, y, size float64, format string, args ...any) {
	p.marks = append(p.marks, mark{x: x, y: y, size: size, text: french.Replace(fmt.Sprintf(format, args...))})
}

func (p *Paper) bold(x, y, size float64, format string, args ...any) {
	p.text(x, y, size, format, args...)
	p.marks[len(p.marks)-1].bold = true
}

func (p *Paper) box(x, y, w, h, grey float64) {
	p.marks = append(p.marks, mark{x: x, y: y, w: w, h: h, grey: grey})
}

func (p *Paper) addressee(who Person) {
	p.text(115, 52, 11, "%s %s", who.Given, who.Family)
	p.text(115, 58, 11, "%s", who.Street)
	p.text(115, 64, 11, "%s", who.City)
}

func (p *Paper) foot() {
	p.text(20, 285, 8, "Spécimen : personne, numéros et montants imaginaires.")
}

// row is a line of a table: a label and what stands at its right.
type row struct{ label, value string }

func (p *Paper) table(y float64, rows ...row) {
	for _, r := range rows {
		p.text(22, y, 10.5, "%s", r.label)
		p.text(165, y, 10.5, "%s", r.value)
		p.box(20, y+2.4, 170, 0.2, 0.75)
		y += 8
	}
}

// TaxNotice is the income-tax notice in force on a day; number makes it one of its kind.
func TaxNotice(who Person, on time.Time, number string) Paper {
	year := on.Year()
	if on.Month() < time.August {
		year--
	}
	var p Paper
	p.bold(20, 22, 11, "DIRECTION GÉNÉRALE DES FINANCES PUBLIQUES")
	p.text(20, 28, 10, "Service des impôts des particuliers de Démoville")
	p.addressee(who)
	p.bold(20, 88, 18, "AVIS D'IMPÔT %d", year)
	p.bold(20, 97, 13, "IMPÔT SUR LES REVENUS DE L'ANNÉE %d", year-1)
	p.text(20, 110, 10.5, "Référence de l'avis : %02d 30 %s", year%100, number)
	p.text(20, 117, 10.5, "Numéro fiscal (déclarant 1) : 30 12 345 678 901")
	p.text(20, 124, 10.5, "Déclarant 1 : %s %s", who.Given, who.Family)
	p.text(20, 131, 10.5, "Date d'établissement : 31/07/%d", year)
	p.table(148,
		row{"Salaires et assimilés", "27 020"}, row{"Déduction 10 % ou frais réels", "- 2 702"}, row{"Revenu brut global", "24 318"},
		row{"Revenu imposable", "24 318"}, row{"Nombre de parts", "1,00"}, row{"Revenu fiscal de référence", "24 318"},
		row{"Impôt sur le revenu net", "1 159 €"}, row{"Prélèvement à la source déjà payé", "- 1 159 €"})
	p.bold(22, 224, 12, "Montant restant à payer : 0 €")
	p.foot()
	return p
}

// ElectricityBill is a bill of nine days ago; number makes it one of its kind.
func ElectricityBill(who Person, on time.Time, number string) Paper {
	issued := on.AddDate(0, 0, -9)
	to := time.Date(issued.Year(), issued.Month(), 0, 0, 0, 0, 0, issued.Location()) // last day of the month before
	from := time.Date(to.Year(), to.Month()-1, 1, 0, 0, 0, 0, to.Location())
	const day = "02/01/2006"
	var p Paper
	p.box(0, 0, pageWidth, 12, 0.35)
	p.bold(20, 28, 15, "Régie d'électricité de Démoville")
	p.text(20, 35, 10, "4 place du Marché, 30000 Démoville")
	p.text(20, 41, 10, "Service client : 04 00 00 00 00")
	p.addressee(who)
	p.bold(20, 88, 18, "Facture d'électricité")
	p.text(20, 98, 11, "Facture n° %s du %s", number, issued.Format(day))
	p.text(20, 105, 11, "Titulaire du contrat : %s %s", who.Given, who.Family)
	p.text(20, 112, 11, "Lieu de consommation : %s, %s", who.Street, who.City)
	p.text(20, 119, 11, "Point de livraison : 30 123 456 789 012    Puissance souscrite : 6 kVA")
	p.box(20, 127, 170, 9, 0.85)
	p.bold(22, 133, 11, "Votre consommation du %s au %s", from.Format(day), to.Format(day))
	p.table(145,
		row{"Abonnement, 2 mois à 15,65 €", "31,30 €"}, row{"Consommation : 412 kWh à 0,1952 €", "80,42 €"},
		row{"dont accise sur l'électricité et acheminement", "34,10 €"}, row{"dont TVA à 20 %", "18,62 €"})
	p.bold(22, 184, 14, "Total TTC : 111,72 €")
	p.text(20, 200, 10.5, "Index relevé par votre compteur Linky : 18 204 kWh")
	p.text(20, 207, 10.5, "Le montant sera prélevé sur votre compte le %s.", issued.AddDate(0, 0, 20).Format(day))
	p.text(20, 214, 10.5, "Prochaine facture : dans deux mois.")
	p.foot()
	return p
}
