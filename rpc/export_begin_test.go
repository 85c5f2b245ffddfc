package rpc

// KeptResults is how many results are kept for others, and how many requests are not answered.
func KeptResults(n *Node) (kept int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.all {
		l.mu.Lock()
		kept += len(l.load.kept) + l.load.running + l.load.held + len(l.asked.calls) + len(l.asked.keeps) + len(l.asked.canceled)
		l.mu.Unlock()
	}
	return kept
}
