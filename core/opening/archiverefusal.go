package opening

import (
	"fmt"

	"vaguemestre/core"
)

// What a citizen is told of an archive that cannot be unpacked. Codes are stable.
var (
	refuseEncryptedArchive = &core.Refusal{Code: "encrypted_archive",
		Reason: "Cette archive ZIP est protégée par un mot de passe\u00a0: ouvrez-la et envoyez les documents qu’elle contient sans mot de passe."}
	refuseDamagedArchive = &core.Refusal{Code: "damaged_archive",
		Reason: "Cette archive ZIP est abîmée ou incomplète et ne s’ouvre pas\u00a0: envoyez directement les documents qu’elle contient, en PDF ou en photo."}
	refuseEmptyArchive = &core.Refusal{Code: "empty_archive",
		Reason: "Cette archive ZIP ne contient aucun document\u00a0: envoyez directement vos documents, en PDF ou en photo."}
	refuseMixedArchive = &core.Refusal{Code: "mixed_archive",
		Reason: "Cette archive ZIP cache autre chose que des documents\u00a0: envoyez directement les documents qu’elle contient, en PDF ou en photo."}
	refuseArchiveMethod = &core.Refusal{Code: "archive_method",
		Reason: "Cette archive ZIP est compressée d’une façon que nous ne savons pas lire\u00a0: envoyez directement les documents qu’elle contient, en PDF ou en photo."}
	refuseArchiveDense = &core.Refusal{Code: "archive_too_dense",
		Reason: "Cette archive ZIP contient un fichier démesurément plus grand qu’elle\u00a0: envoyez directement les documents qu’elle contient, en PDF ou en photo."}
)

func refuseArchiveFiles(limit int) *core.Refusal {
	return &core.Refusal{Code: "archive_too_many_files", Reason: fmt.Sprintf(
		"Cette archive ZIP contient plus de %d fichiers\u00a0: envoyez seulement les documents utiles, en plusieurs fois s’il le faut.", limit)}
}

func refuseArchiveSize(limit int64) *core.Refusal {
	return &core.Refusal{Code: "archive_too_large", Reason: fmt.Sprintf(
		"Les documents de cette archive ZIP dépassent ensemble %d\u00a0Mo\u00a0: envoyez-les en plusieurs fois.", limit/1_000_000)}
}
