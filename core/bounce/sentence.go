package bounce

import "strings"

// Sentence says in French why a letter came back, by the enhanced status code (RFC 3463)
// of the report; it says little for a code that does.
func Sentence(status string) string {
	_, rest, _ := strings.Cut(status, ".")
	if s, ok := sentences[rest]; ok {
		return s
	}
	subject, _, _ := strings.Cut(rest, ".")
	if s, ok := subjects[subject]; ok {
		return s
	}
	return "non remis, sans autre précision"
}

var sentences = map[string]string{
	"1.1": "adresse inconnue", "1.3": "adresse mal formée", "1.4": "adresse ambiguë", "1.6": "adresse abandonnée, sans adresse nouvelle", "1.10": "adresse inconnue",
	"1.2": "domaine inconnu", "4.4": "domaine inconnu",
	"2.1": "boîte désactivée", "2.2": "boîte pleine", "2.3": "message trop volumineux pour cette boîte", "3.4": "message trop volumineux",
	"4.1": "serveur du destinataire injoignable", "4.2": "liaison interrompue avec le serveur du destinataire", "4.6": "message en boucle", "4.7": "délai dépassé",
	"7.1": "refusé par le serveur du destinataire", "1.8": "refusé par le serveur du destinataire : notre adresse n’y est pas admise",
	"6.1": "contenu refusé par le serveur du destinataire",
}

var subjects = map[string]string{
	"1": "adresse refusée", "2": "boîte indisponible", "3": "serveur du destinataire en défaut", "4": "serveur du destinataire injoignable",
	"5": "échange refusé par le serveur du destinataire", "6": "contenu refusé par le serveur du destinataire", "7": "refusé par le serveur du destinataire",
}
