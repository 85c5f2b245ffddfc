package cli

import (
	"context"
	"fmt"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

type kindsCmd struct {
	world
	Full bool `help:"Also print the shape of the state and the types of the methods."`
}

// Help is what kinds --help says below the usage.
func (kindsCmd) Help() string {
	return `Each line is one version of one kind: name, version, number of objects, whether this command can call them, and the methods by the rights that they need. Kinds that come with the runtime are listed if there are objects of them.`
}

func (c *kindsCmd) run(ctx context.Context, a *app) (err error) {
	rt, err := c.open(a, a.kinds, false)
	if err != nil {
		return err
	}
	defer closing(rt, &err)
	ks, err := rt.Kinds(ctx)
	if err != nil {
		return err
	}
	ks = look.Listed(ks)
	rows := [][]string{{"KIND", "VERSION", "OBJECTS", "", "METHODS"}}
	for _, k := range ks {
		known := "known"
		if !k.Known {
			known = "not known here"
		}
		rows = append(rows, []string{text.Line(k.Name), fmt.Sprint(k.Version), text.Int(k.Objects), known, text.Line(look.Interface(k.Methods, look.All))})
	}
	if !c.Full {
		fmt.Fprint(a.out, text.Table(rows, 0, 1, 2))
		return nil
	}
	for i, k := range ks {
		fmt.Fprint(a.out, text.Table(rows[i+1:i+2], 0), kindDetails(k))
	}
	return nil
}

func kindDetails(k sturdy.KindInfo) string {
	rows := [][]string{{"  state", text.Line(k.State.String())}}
	for _, m := range k.Methods {
		rows = append(rows, []string{"  " + m.Needs.String(), text.Line(look.Typed(m))})
	}
	return text.Table(rows, 0)
}
