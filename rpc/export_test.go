package rpc

// Links is how many connections there are.
func (n *Node) Links() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.all)
}
