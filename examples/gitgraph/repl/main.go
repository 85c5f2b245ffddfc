// Command repl is the sturdy command with the kinds of package gitgraph: it can walk the
// graph of a repository that has been imported.
package main

import (
	"github.com/sturdyrt/sturdy/cmd/cli"
	"github.com/sturdyrt/sturdy/examples/gitgraph"
)

func main() { cli.Main(gitgraph.Kinds) }
