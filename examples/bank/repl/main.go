// Command repl is the sturdy command with the kinds of a bank: everybody's own is three lines.
package main

import (
	"github.com/sturdyrt/sturdy/cmd/cli"
	"github.com/sturdyrt/sturdy/examples/bank"
)

func main() { cli.Main(bank.Kind) }
