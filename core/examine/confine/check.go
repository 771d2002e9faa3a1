package confine

import (
	"context"
	"os"
	"slices"
	"time"
)

// What a system may not offer, by its stable name.
const (
	lackAll        = "confinement"
	lackNamespaces = "namespaces"
	lackLandlock   = "landlock"
	lackSeccomp    = "seccomp"
	lackOtherUser  = "other_user"
)

// Lack is one protection that this machine does not offer to confined processes.
type Lack struct {
	Feature  string // stable name: "landlock", "namespaces"…
	Required bool   // without it nothing is read at all
	Reason   string // one sentence, in French, for the operator: what is lost, and the mend
	Err      error  // what the system said, if it said something
}

// Check starts one confined process that does nothing and says what could not be
// done. Nothing found means that every protection holds.
func Check(ctx context.Context) []Lack {
	_, rep, err := run(ctx, Task{Limits: Limits{Wall: 30 * time.Second}})
	if err != nil {
		return []Lack{{Feature: lackAll, Required: true, Reason: reasons[lackAll], Err: err}}
	}
	names := slices.Clone(rep.Lacks)
	if !rep.NoNet {
		names = append(names, lackNamespaces)
	}
	if os.Geteuid() != 0 && !rep.NoNet {
		names = append(names, lackOtherUser)
	}
	lacks := make([]Lack, len(names))
	for i, name := range names {
		lacks[i] = Lack{Feature: name, Reason: reasons[name]}
	}
	return lacks
}

var reasons = map[string]string{
	lackAll: "Les analyseurs de fichiers ne peuvent pas être isolés sur cette machine : aucun document ne sera lu. " +
		"Le binaire doit être exécutable par tous et /proc monté.",
	lackNamespaces: "Les espaces de noms (réseau, processus) sont refusés : l’isolation repose sur seccomp seul. " +
		"Autorisez les espaces de noms utilisateur (sysctl user.max_user_namespaces, profil AppArmor ou du conteneur).",
	lackLandlock: "Landlock n’est pas disponible : les analyseurs voient les fichiers lisibles par tous. " +
		"Utilisez un noyau 5.13 ou plus récent, avec « landlock » dans le paramètre lsm=.",
	lackSeccomp: "Le filtre d’appels système (seccomp) est refusé : l’isolation repose sur l’espace de noms réseau seul. " +
		"Utilisez un noyau construit avec CONFIG_SECCOMP_FILTER.",
	lackOtherUser: "Les analyseurs tournent sous le même utilisateur que le service : leur isolation des fichiers repose sur Landlock seul. " +
		"Autorisez les espaces de noms utilisateur.",
}
