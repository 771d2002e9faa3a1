package examine

import (
	"fmt"
	"strconv"
	"strings"

	"vaguemestre/core"
)

// The answers a citizen may get: each says what is wrong, then what to do. Codes are
// stable.
var (
	refuseEmpty = &core.Refusal{Code: "empty",
		Reason: "Ce fichier est vide\u00a0: vérifiez le document d’origine, puis envoyez-le à nouveau."}
	refuseMixed = &core.Refusal{Code: "mixed_content",
		Reason: "Ce fichier cache autre chose derrière un document (une archive, une page web ou un programme)\u00a0: enregistrez le document seul au format PDF, ou photographiez-le, puis envoyez-le à nouveau."}
	refusePassword = &core.Refusal{Code: "encrypted_pdf",
		Reason: "Ce PDF demande un mot de passe\u00a0: ouvrez-le, imprimez-le au format PDF sans mot de passe, puis envoyez cette copie."}
	refuseDamagedPDF = &core.Refusal{Code: "damaged_pdf",
		Reason: "Ce PDF est abîmé ou incomplet et ne s’ouvre pas\u00a0: téléchargez-le à nouveau là où vous l’avez obtenu, ou photographiez le document, puis envoyez-le."}
	refuseComplexPDF = &core.Refusal{Code: "complex_pdf",
		Reason: "Ce PDF est trop complexe pour être lu en sécurité\u00a0: imprimez-le au format PDF, ou photographiez le document, puis envoyez cette copie."}
)

// unsupported holds the answer for each family of files that is not read.
var unsupported = map[format]*core.Refusal{
	formatArchive: refuseFormat(formatArchive, "Ce fichier est une archive (ZIP, RAR…)\u00a0: ouvrez-la et envoyez un par un les documents qu’elle contient, en PDF ou en photo."),
	formatOffice:  refuseFormat(formatOffice, "Ce fichier est un document de bureautique (texte, tableur, présentation ou message)\u00a0: enregistrez-le au format PDF, puis envoyez le PDF."),
	formatProgram: refuseFormat(formatProgram, "Ce fichier est un programme, pas un document\u00a0: envoyez le justificatif en PDF ou en photo."),
	formatImage:   refuseFormat(formatImage, "Ce format d’image n’est pas accepté\u00a0: enregistrez l’image au format JPEG ou PNG, puis envoyez-la à nouveau."),
	formatAVIF:    refuseFormat(formatAVIF, "Cette image est au format AVIF, qui n’est pas accepté\u00a0: enregistrez-la au format JPEG ou PNG, puis envoyez-la à nouveau."),
	formatMedia:   refuseFormat(formatMedia, "Ce fichier est une vidéo ou un son\u00a0: photographiez le document page par page, puis envoyez les photos."),
	formatHTML:    refuseFormat(formatHTML, "Ce fichier est une page web\u00a0: ouvrez-la, imprimez-la au format PDF, puis envoyez le PDF."),
	formatSVG:     refuseFormat(formatSVG, "Ce fichier est un dessin SVG\u00a0: enregistrez-le au format PDF ou PNG, puis envoyez-le à nouveau."),
	formatEmail:   refuseFormat(formatEmail, "Ce fichier est un message électronique\u00a0: enregistrez les documents qui y sont joints, puis envoyez-les en PDF ou en photo."),
	formatText:    refuseFormat(formatText, "Ce fichier ne contient que du texte\u00a0: envoyez le document lui-même, en PDF ou en photo."),
	formatOther:   refuseFormat(formatOther, "Ce type de fichier n’est pas accepté\u00a0: envoyez le document en PDF ou en photo (JPEG, PNG, HEIC)."),
}

// refuseFormat gives "unsupported_kind" when nothing more exact is known.
func refuseFormat(f format, reason string) *core.Refusal {
	return &core.Refusal{Code: "unsupported_" + string(f), Reason: reason}
}

func refuseKind(kind core.Kind, allowed []core.Kind) *core.Refusal {
	names := make([]string, len(allowed))
	for i, k := range allowed {
		names[i] = kindName(k)
	}
	return &core.Refusal{Code: "kind_not_allowed", Reason: fmt.Sprintf(
		"Le format %s n’est pas accepté pour ce document\u00a0: envoyez-le dans l’un de ces formats (%s).", kindName(kind), strings.Join(names, ", "))}
}

func kindName(k core.Kind) string {
	if k == core.KindWebP {
		return "WebP"
	}
	return strings.ToUpper(string(k))
}

// TooLarge is the answer to a file of more than limit bytes, for who knows its size
// before its bytes.
func TooLarge(limit int64) *core.Refusal {
	size := strconv.FormatInt(limit/1_000_000, 10)
	if tenths := limit / 100_000 % 10; tenths > 0 {
		size += "," + strconv.FormatInt(tenths, 10)
	}
	return &core.Refusal{Code: "too_large", Reason: fmt.Sprintf(
		"Ce fichier dépasse la limite de %s\u00a0Mo\u00a0: envoyez-le en plusieurs fichiers, ou enregistrez-le dans une qualité plus légère.", size)}
}

func refusePages(pages, limit int) *core.Refusal {
	return &core.Refusal{Code: "too_many_pages", Reason: fmt.Sprintf(
		"Ce document compte %d pages et dépasse la limite de %d\u00a0: envoyez seulement les pages utiles, ou plusieurs fichiers.", pages, limit)}
}

func refusePixels(width, height int, limit int64) *core.Refusal {
	return &core.Refusal{Code: "image_too_large", Reason: fmt.Sprintf(
		"Cette image de %d\u00a0×\u00a0%d pixels dépasse la limite de %d\u00a0millions de pixels\u00a0: réduisez-la ou refaites la photo en qualité normale, puis envoyez-la à nouveau.",
		width, height, limit/1_000_000)}
}
