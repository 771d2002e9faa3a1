package dispatch

import (
	"strings"
	"time"

	"vaguemestre/core"
)

// Sentence says of a part, in French, how it stands and what can be done. It names no
// person.
func (d Dispatch) Sentence(p Part, now time.Time) string {
	how := ""
	if c := strings.TrimSpace(p.Code + " " + p.Status); c != "" {
		how = " (" + c + ")"
	}
	switch p.State {
	case core.LetterWaiting:
		if r := d.Service.CertificateFault(now); r != nil {
			return r.Reason
		}
		if why, known := waits[p.Code]; known {
			return why
		}
		if how != "" {
			return "En attente : le dernier essai n’a pas abouti" + how + ", un autre suivra."
		}
		return "En attente d’envoi."
	case core.LetterSent:
		return "Remis au relais de la collectivité, sans nouvelle depuis."
	case core.LetterDelivered:
		return "Arrivé dans la boîte du service."
	case core.LetterDelayed:
		return "Le serveur du service n’a pas encore pris le message : le relais réessaie" + how + "."
	case core.LetterBounced:
		return "Revenu sans être arrivé" + how + " : " + cure(p)
	case core.LetterRefused:
		return "Refusé par le relais" + how + " : " + cure(p)
	case core.LetterFailed:
		return "Abandonné après cinq jours d’essais" + how + " : vérifiez le relais, puis renvoyez."
	}
	return cancelled(p.Code)
}

// waits says why a part has not gone yet, where it is not for the mailer alone to try on.
var waits = map[string]string{
	"no_relay":          "En attente : la collectivité n’a pas configuré l’envoi de courriels.",
	"settings":          "En attente : le mot de passe ou la clé de signature de l’envoi de courriels manque.",
	"relay_unreachable": "En attente : le relais de la collectivité est injoignable, un autre essai suivra.",
	"relay_without_tls": "En attente : le relais n’offre pas de liaison chiffrée ; aucun document ne part en clair.",
	"relay_tls":         "En attente : la liaison chiffrée avec le relais a échoué ; aucun document ne part en clair.",
	"relay_certificate": "En attente : le relais ne prouve pas son identité ; aucun document ne lui est remis.",
	"relay_auth":        "En attente : le relais refuse l’identifiant ou le mot de passe de la collectivité.",
}

// cure says what a refusal by the other side asks for.
func cure(p Part) string {
	switch {
	case strings.HasPrefix(p.Status, "5.1."):
		return "vérifiez l’adresse de la boîte du service, puis renvoyez."
	case p.Status == "5.2.2":
		return "la boîte du service est pleine ; faites-la vider, puis renvoyez."
	case p.Status == "5.2.3", p.Status == "5.3.4", p.Code == "552":
		return "le message est trop gros pour cette boîte ; abaissez la taille maximale du service, puis renvoyez."
	case strings.HasPrefix(p.Status, "5.7."):
		return "le serveur l’écarte pour une raison de sécurité ; voyez avec qui administre la messagerie."
	}
	return "voyez avec qui administre la messagerie, puis renvoyez."
}

// cancelled says why a part never went.
func cancelled(code string) string {
	code, late := strings.CutSuffix(code, "_late")
	why, known := map[string]string{
		"by_hand":         "Annulé avant l’envoi.",
		"sent_anew":       "Remplacé par un nouvel envoi.",
		"service_removed": "Annulé : le service n’est plus déclaré.",
		"withdrawn":       "Annulé : un document a quitté le porte-documents.",
		"type_forbidden":  "Annulé : le référentiel interdit désormais de transmettre ce type de document.",
		"to_confirm":      "Annulé : un document attend de nouveau la confirmation de l’usager.",
		"rejected":        "Annulé : un document a été rejeté.",
		"expired":         "Annulé : un document n’est plus valable.",
		"not_current":     "Annulé : un document a été remplacé ou supprimé.",
	}[code]
	if !known {
		why = "Annulé."
	}
	if late {
		why += " L’envoi était en cours : il est possible que le message soit parti."
	}
	return why
}
