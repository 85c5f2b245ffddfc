// Command sturdy looks into worlds: it lists, checks and dumps them, and talks to their
// objects. It knows no kinds but those of the runtime; a program's own command, with its
// kinds, takes three lines, see package cli.
package main

import "github.com/sturdyrt/sturdy/cmd/cli"

func main() { cli.Main() }
