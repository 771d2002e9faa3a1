package dispatch

// Room is what planning leaves in a message for n documents besides the bytes of their
// files, one each.
func Room(n int) int64 { return mailBytes + int64(n)*weight([]int64{0}, false, false) }
