package look

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Grant is the kind of grants.
const Grant = "sturdy/grant"

// GrantName is a grant with its purpose: `grant 1c for "auditor"`.
func GrantName(g sturdy.GrantInfo) string {
	name := "grant " + g.ID
	if g.For != "" {
		name += fmt.Sprintf(" for %q", g.For)
	}
	return name
}

// GrantRights are the rights of a grant, and whether it is a membrane.
func GrantRights(g sturdy.GrantInfo) string {
	if g.Deep {
		return g.Rights + ", membrane"
	}
	return g.Rights
}

// GrantMethods are the methods that a grant allows: "all", "none" or their names.
func GrantMethods(g sturdy.GrantInfo) string {
	switch {
	case g.None:
		return "none"
	case len(g.Only) == 0:
		return "all"
	}
	return strings.Join(g.Only, ", ")
}

// GrantState is what became of a grant: "alive", "revoked", "ran out", and "dead above" if
// it is a grant above it that was revoked or ran out.
func GrantState(g sturdy.GrantInfo, now time.Time) string {
	switch {
	case !g.Revoked.IsZero():
		return "revoked"
	case g.Alive:
		return "alive"
	case !g.Until.IsZero() && !g.Until.After(now):
		return "ran out"
	}
	return "dead above"
}

// Now is the time as the world's objects see it.
func Now(ctx context.Context, rt *sturdy.Runtime) (now time.Time, err error) {
	err = rt.View(ctx, func(t *sturdy.ReadTurn) error {
		now = t.Now()
		return nil
	})
	return now, err
}

// At is what stands under a path of names from the root.
func At(ctx context.Context, w World, names []string) (ref caps.Ref, err error) {
	ref = w.Root().Ref
	for i, name := range names {
		if ref, err = Get(ctx, ref, name); err != nil {
			return ref, fmt.Errorf("%s: %w", JoinPath(names[:i+1]...), err)
		}
	}
	return ref, nil
}

// Place is where a holder stands, for people: a grant by its name; an entry or a row by the
// shortest path from the root, if search allows to look for one and there is one; and an
// object that holds in its state by kind and ID, and that path.
func Place(ctx context.Context, rt *sturdy.Runtime, h sturdy.Holder, search bool) string {
	if h.Grant != nil {
		return GrantName(*h.Grant)
	}
	if search {
		if path, err := rt.PathTo(ctx, h.By); err == nil {
			if h.In == "" {
				return h.Name + " (" + sturdy.PathText(path) + ")"
			}
			return sturdy.PathText(path) + "/" + h.In
		}
	}
	if h.In == "" {
		return h.Name
	}
	return h.Name + ", " + h.In
}

// Listed are the kinds worth a line: those that come with the runtime only if there are
// objects of them.
func Listed(ks []sturdy.KindInfo) []sturdy.KindInfo {
	return slices.DeleteFunc(slices.Clone(ks), func(k sturdy.KindInfo) bool {
		return k.Objects == 0 && strings.HasPrefix(k.Name, "sturdy/")
	})
}

// Allowed is Interface for the reference that info describes. Methods that its grants leave
// out stand in parentheses, too. If a grant is dead it is the error that says so.
func Allowed(info sturdy.ObjectInfo) string {
	gate := info.Rights.Gate
	if gate == nil {
		return Interface(info.Kind.Methods, info.Rights.Rights)
	}
	if err := gate.Alive(nil); err != nil {
		return err.Error()
	}
	only, limited := gate.Methods()
	ms := slices.Clone(info.Kind.Methods)
	if limited {
		ms = slices.DeleteFunc(ms, func(m sturdy.MethodInfo) bool { return !slices.Contains(only, m.Name) })
	}
	text := Interface(ms, info.Rights.Rights)
	if hidden := len(info.Kind.Methods) - len(ms); hidden > 0 {
		text = strings.TrimLeft(fmt.Sprintf("%s   (not granted: %d of %d methods)", text, hidden, len(info.Kind.Methods)), " ")
	}
	return text
}
