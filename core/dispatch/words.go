package dispatch

import (
	"fmt"
	"strings"
	"time"

	"vaguemestre/core"
)

// wording is what a mail says, in one language.
type wording struct {
	subject, intro, town, agent, rule, document, sensitive           string
	number, date, by, purpose, part, ofParts, contains, ofAll        string
	holder, issued, period, span, validUntil, state, came, cameOn    string
	file, linkLabel, linkUntil, code, elsewhere, otherLine, linkNote string
	keepNote, one, many                                              string

	states   map[core.DocumentState]string
	channels map[string]string
	months   [12]string
	dayForm  string // of day, month, year
	firstDay string
	clock    string // of the day, and of hours and minutes
	comma    string
	units    [3]string
}

// words are those of a language, French unless it is English.
func words(language string) *wording {
	if language == "en" {
		return &english
	}
	return &french
}

// documents counts them.
func (w *wording) documents(n int) string {
	if n == 1 {
		return w.one
	}
	return fmt.Sprintf(w.many, n)
}

// day writes a date out; "" for none.
func (w *wording) day(d core.Date) string {
	if d.IsZero() {
		return ""
	}
	number := fmt.Sprint(d.Day)
	if d.Day == 1 {
		number = w.firstDay
	}
	return fmt.Sprintf(w.dayForm, number, w.months[d.Month-1], d.Year)
}

// moment writes a time out, as clocks show it in the zone.
func (w *wording) moment(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	return fmt.Sprintf(w.clock, w.day(core.DateOf(t)), t.Hour(), t.Minute())
}

// size in the largest unit that leaves a figure before the comma.
func (w *wording) size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d %s", n, w.units[0])
	case n < 1_000_000:
		return fmt.Sprintf("%d %s", (n+500)/1000, w.units[1])
	}
	return strings.Replace(fmt.Sprintf("%.1f %s", float64(n)/1e6, w.units[2]), ".", w.comma, 1)
}

var french = wording{
	subject: "[Porte-documents] Envoi %s – %s",
	intro:   "%s transmet au service « %s » des documents de :",
	town:    "La collectivité", agent: "Un agent", rule: "Envoi automatique (règle du service)",
	document: "Document", sensitive: "Un document",
	number: "Envoi n° :", date: "Date :", by: "Transmis par :", purpose: "Motif :", part: "Partie :", ofParts: "%d sur %d",
	contains: "Ce message contient %s", ofAll: " sur %d",
	holder: "Titulaire :", issued: "Établi le :", period: "Période :", span: "du %s au %s", validUntil: "Valable jusqu’au :", state: "État :",
	came: "Reçu :", cameOn: "%s, le %s", file: "Fichier joint :",
	linkLabel: "À consulter :", linkUntil: "par ce lien, après connexion, jusqu’au %s",
	code:      "dans le porte-documents, après connexion, avec le code %s, jusqu’au %s",
	elsewhere: "Dans les autres messages de cet envoi", otherLine: "%d. %s (partie %d)",
	linkNote: "Un lien n’ouvre un document qu’aux agents du service, une fois connectés ; chaque consultation est inscrite au journal de l’usager.",
	keepNote: "Ces documents ne servent qu’au motif indiqué. L’usager voit dans son journal qu’ils vous ont été transmis. Supprimez ce message quand ils ne sont plus utiles.",
	one:      "1 document", many: "%d documents",
	states: map[core.DocumentState]string{
		core.DocumentToValidate: "à vérifier par un agent", core.DocumentValidated: "validé",
	},
	channels: map[string]string{
		core.ChannelSMTP: "par courriel", core.ChannelIMAP: "par courriel", core.ChannelWeb: "sur le site", core.ChannelMobile: "par l’application mobile",
		core.ChannelPost: "par courrier postal", "counter": "au guichet", "portfolio": "d’un autre porte-documents",
	},
	months:  [12]string{"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"},
	dayForm: "%s %s %d", firstDay: "1er", clock: "%s à %d h %02d", comma: ",", units: [3]string{"octets", "ko", "Mo"},
}

var english = wording{
	subject: "[Porte-documents] Dispatch %s – %s",
	intro:   "%s sends on to the service “%s” documents of:",
	town:    "The town", agent: "An agent", rule: "Sent by itself (rule of the service)",
	document: "Document", sensitive: "A document",
	number: "Dispatch no.:", date: "Date:", by: "Sent by:", purpose: "Purpose:", part: "Part:", ofParts: "%d of %d",
	contains: "This message contains %s", ofAll: " of %d",
	holder: "Holder:", issued: "Issued on:", period: "Period:", span: "from %s to %s", validUntil: "Valid until:", state: "State:",
	came: "Received:", cameOn: "%s, on %s", file: "Attached file:",
	linkLabel: "To be read:", linkUntil: "by this link, once signed in, until %s",
	code:      "in the portal, once signed in, with the code %s, until %s",
	elsewhere: "In the other messages of this dispatch", otherLine: "%d. %s (part %d)",
	linkNote: "A link opens a document for agents of the service alone, once signed in; each reading stands in the citizen’s journal.",
	keepNote: "These documents serve the stated purpose alone. The citizen sees in their journal that they were sent to you. Delete this message when they are no longer needed.",
	one:      "1 document", many: "%d documents",
	states: map[core.DocumentState]string{
		core.DocumentToValidate: "to be checked by an agent", core.DocumentValidated: "validated",
	},
	channels: map[string]string{
		core.ChannelSMTP: "by e-mail", core.ChannelIMAP: "by e-mail", core.ChannelWeb: "on the web site", core.ChannelMobile: "by the mobile application",
		core.ChannelPost: "by post", "counter": "at the counter", "portfolio": "from another portfolio",
	},
	months:  [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
	dayForm: "%s %s %d", firstDay: "1", clock: "%s at %d:%02d", comma: ".", units: [3]string{"bytes", "kB", "MB"},
}
