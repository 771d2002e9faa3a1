package opening

import (
	"vaguemestre/core"
	"vaguemestre/core/remark"
)

// errAutomatic: a program answered one of our letters. Nothing is made of it, and nothing
// is said.
var errAutomatic = &core.Refusal{Code: "automatic_reply", Reason: "Ce message est une réponse automatique : il n’a pas été traité."}

// What a reply without a file came to.
const (
	reasonDeletion = "deletion_asked" // a link went to the citizen
	reasonNoFile   = "reply_without_file"
)

// readReply looks for the one command in a reply that brings no file (SEC-54): what it
// causes is a letter to the citizen, whoever wrote it.
func (r *run) readReply() {
	if r.deposit.Answers == "" || r.arrival().Files > 0 {
		return
	}
	r.out.Reason = reasonNoFile
	if remark.AsksDeletion(r.note) {
		r.deletes, r.out.Reason = true, reasonDeletion
	}
}
