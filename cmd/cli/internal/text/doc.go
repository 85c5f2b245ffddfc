// Package text makes what comes out of a world fit for a terminal: nothing in it can move
// the cursor, no line is wider than asked for, and columns stand below each other.
package text
