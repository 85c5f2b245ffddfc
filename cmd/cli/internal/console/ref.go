package console

import (
	"context"
	"fmt"
	"strconv"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// refValue is a capability as a script sees it. Behind the dot stand the entries of a
// directory and the methods of everything else; in brackets the entries of both a directory
// and a collection.
type refValue struct {
	s   *Session
	ref caps.Ref
}

// ref returns r as a value; the null Ref is None.
func (s *Session) ref(r caps.Ref) starlark.Value {
	if r.IsNull() {
		return starlark.None
	}
	return &refValue{s, r}
}

func (r *refValue) String() string       { return text.Line(r.ref.String()) }
func (r *refValue) Type() string         { return "ref" }
func (r *refValue) Freeze()              {}
func (r *refValue) Truth() starlark.Bool { return true }

// Hash goes by the object's number, which a name does not change.
func (r *refValue) Hash() (uint32, error) {
	info, err := r.s.describe(r.ref)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(info.ID, 16, 64)
	return uint32(n) ^ uint32(n>>32), err
}

// CompareSameType makes two refs equal that designate the same object with the same rights;
// same(a, b) does not ask for the rights.
func (r *refValue) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	return equality(op, r.ref == y.(*refValue).ref, "refs")
}

func (r *refValue) Attr(name string) (starlark.Value, error) {
	if name == attenuate {
		return starlark.NewBuiltin(attenuate, r.attenuate), nil
	}
	if name == sends {
		return &sendValue{r}, nil
	}
	info, err := r.s.describe(r.ref)
	if err != nil {
		return nil, err
	}
	if info.Kind.Name == look.Directory {
		return r.entry(name)
	}
	for _, m := range info.Kind.Methods {
		if m.Name == name {
			return &methodValue{r: r, kind: info.Kind, info: m}, nil
		}
	}
	return nil, noMethod(info.Kind, name)
}

func (r *refValue) entry(name string) (starlark.Value, error) {
	var e caps.Ref
	err := r.s.looking("get", r.ref, func(ctx context.Context) (err error) {
		e, err = look.Get(ctx, r.ref, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.s.ref(e), nil
}

// noMethod says what may have been meant.
func noMethod(k sturdy.KindInfo, name string) error {
	var names []string
	for _, m := range k.Methods {
		names = append(names, m.Name)
	}
	if near := text.Near(name, names); near != "" {
		for _, m := range k.Methods {
			if m.Name == near {
				return fmt.Errorf("%s has no method %s; %s?", look.Short(k.Name), name, look.Signature(m))
			}
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%s has no methods", look.Short(k.Name))
	}
	return fmt.Errorf("%s has no method %s; it has   %s", look.Short(k.Name), name, look.Interface(k.Methods, look.All))
}

// maxAttrs is how many names of a directory are offered.
const maxAttrs = 200

func (r *refValue) AttrNames() []string {
	info, err := r.s.describe(r.ref)
	if err != nil {
		return nil
	}
	names := []string{attenuate, sends}
	for _, m := range info.Kind.Methods {
		names = append(names, m.Name)
	}
	if info.Kind.Name == look.Directory {
		names = r.names("", maxAttrs)
	}
	return names
}

// names are at most limit names of a directory, from the one given on.
func (r *refValue) names(from string, limit int) (names []string) {
	c := look.NameCursor{Dir: r.ref, From: from}
	page, err := c.Next(r.s.ctx)
	for i := 0; err == nil && i < min(limit, len(page)); i++ {
		names = append(names, page[i].Name)
	}
	return names
}

// Get is d["name"] of a directory and m[key] of a collection.
func (r *refValue) Get(k starlark.Value) (starlark.Value, bool, error) {
	info, err := r.s.describe(r.ref)
	if err != nil {
		return nil, false, err
	}
	if info.Kind.Name == look.Directory {
		name, ok := starlark.AsString(k)
		if !ok {
			return nil, false, fmt.Errorf("a directory has names, not a %s", k.Type())
		}
		v, err := r.entry(name)
		return v, err == nil, err
	}
	if !look.IsCollection(info.Kind.Name) {
		return nil, false, fmt.Errorf("a %s has no entries; its methods stand behind a dot", look.Short(info.Kind.Name))
	}
	key, err := toValue(k, anything(), "the key")
	if err != nil {
		return nil, false, err
	}
	v, err := caps.Method[caps.Value, caps.Value]("get").Call(r.s.ctx, r.ref, key)
	if err != nil {
		return nil, false, err
	}
	return r.s.fromValue(v, anything()), v.Any() != nil, nil
}

// SetField says what to do instead: what is assigned does not look like a turn.
func (r *refValue) SetField(name string, _ starlark.Value) error { return r.usePut(name) }

// SetKey is SetField for brackets.
func (r *refValue) SetKey(k, _ starlark.Value) error {
	if name, ok := starlark.AsString(k); ok {
		return r.usePut(name)
	}
	return r.usePut("name")
}

func (r *refValue) usePut(name string) error {
	return fmt.Errorf("objects are not assigned to: put(dir, %q, x) changes a directory, methods change everything else", name)
}

// Len is for len(x): of directories and collections.
func (r *refValue) Len() int {
	n, err := look.Len(r.s.ctx, r.ref)
	if err != nil {
		return -1
	}
	return int(n)
}

const attenuate = "attenuate"

// attenuate is x.attenuate("r"): letters of rights, and "s" for shallow.
func (r *refValue) attenuate(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	to, err := oneRights(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return r.s.ref(r.ref.Attenuate(to)), nil
}

// rights parses letters: "r", "rw", "rs".
func rights(letters string) (to caps.Rights, err error) {
	for _, c := range letters {
		switch c {
		case 'r':
			to |= caps.Read
		case 'w':
			to |= caps.Write
		case 'x':
			to |= caps.Run
		case 's':
			to |= caps.Shallow
		default:
			return 0, fmt.Errorf(`rights are letters of "rwx", and "s" for what stays shallow; not %q`, letters)
		}
	}
	return to, nil
}
