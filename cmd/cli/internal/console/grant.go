package console

import (
	"errors"
	"fmt"
	"strings"
	"time"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// grantValue is what grant(x) returns: .ref is what to give away, .grant takes it back, and
// the rest is what a listing says of the grant now.
type grantValue struct {
	s     *Session
	ref   caps.Ref
	grant sturdy.Grant
}

func (g *grantValue) String() string {
	info, err := g.grant.Info(g.s.ctx)
	if err != nil {
		return text.Line(g.grant.String())
	}
	return text.Line(look.GrantName(info))
}
func (g *grantValue) Type() string          { return "grant" }
func (g *grantValue) Freeze()               {}
func (g *grantValue) Truth() starlark.Bool  { return true }
func (g *grantValue) Hash() (uint32, error) { return 0, fmt.Errorf("a grant cannot be a key") }

// Attr is ref, grant, or a column of the listing.
func (g *grantValue) Attr(name string) (starlark.Value, error) {
	switch name {
	case "ref":
		return g.s.ref(g.ref), nil
	case "grant":
		return g.s.ref(g.grant.Ref), nil
	}
	row, err := g.row()
	if err != nil {
		return nil, err
	}
	return row.Attr(name)
}

// AttrNames are the names that Attr knows.
func (g *grantValue) AttrNames() []string {
	return append([]string{"ref", "grant"}, grantRow(sturdy.GrantInfo{}, time.Time{}).AttrNames()...)
}

func (g *grantValue) row() (*record, error) {
	info, err := g.grant.Info(g.s.ctx)
	if err != nil {
		return nil, err
	}
	now, err := g.s.now()
	if err != nil {
		return nil, err
	}
	return grantRow(info, now), nil
}

// show is the grant's row of a listing.
func (g *grantValue) show() (string, error) {
	row, err := g.row()
	if err != nil {
		return "", err
	}
	return g.s.showRows(starlark.NewList([]starlark.Value{row}), 1)
}

// now is the time as objects see it.
func (s *Session) now() (time.Time, error) { return look.Now(s.ctx, s.Runtime) }

// grantRow is one row of a listing of grants.
func grantRow(i sturdy.GrantInfo, now time.Time) *record {
	r := newRecord(
		"ID", starlark.String(i.ID), "State", starlark.String(look.GrantState(i, now)), "Object", starlark.String(i.Object), "Rights", starlark.String(look.GrantRights(i)),
		"Methods", starlark.String(look.GrantMethods(i)), "To", orNone(i.For), "Until", moment(i.Until),
		"By", orNone(i.By), "Above", orNone(strings.Join(i.Above, ", ")), "Since", moment(i.Since),
		"Uses", starlark.MakeInt64(i.Uses), "Used", moment(i.Used),
	)
	r.brief = now
	return r
}

// moment is a time, or None for the zero time.
func moment(t time.Time) starlark.Value {
	if t.IsZero() {
		return starlark.None
	}
	return starlarktime.Time(t)
}

// terms reads what grant and save take: x, and on which terms.
func (s *Session) terms(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (ref caps.Ref, terms caps.Terms, err error) {
	var x *refValue
	var until, only starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "x", &x, "to?", &terms.For, "until??", &until, "only??", &only, "deep?", &terms.Deep); err != nil {
		return ref, terms, err
	}
	if until != nil {
		if terms.Until, err = s.until(until); err != nil {
			return ref, terms, fmt.Errorf("%s: until: %w", b.Name(), err)
		}
	}
	if only != nil {
		if terms.Only, err = methodNames(only); err != nil {
			return ref, terms, fmt.Errorf("%s: only: %w", b.Name(), err)
		}
	}
	return x.ref, terms, nil
}

// until is a time: as text, as a time of Starlark, or as a length of time from now on.
func (s *Session) until(x starlark.Value) (time.Time, error) {
	switch x := x.(type) {
	case starlarktime.Time:
		return time.Time(x), nil
	case starlarktime.Duration:
		now, err := s.now()
		return now.Add(time.Duration(x)), err
	case starlark.String:
		now, err := s.now()
		if err != nil {
			return now, err
		}
		return text.Moment(string(x), now)
	}
	return time.Time{}, fmt.Errorf(`it wants a time like "7d" or "2026-11-29", not the %s %s`, x.Type(), repr(x, 40))
}

// methodNames reads a list of methods: names, or methods as they stand behind a dot. A name
// alone is a list of one. The empty list is refused: it would be taken for no limit.
func methodNames(x starlark.Value) (only []caps.Named, err error) {
	list, ok := x.(starlark.Iterable)
	switch x.(type) {
	case starlark.String, *methodValue:
		list, ok = starlark.Tuple{x}, true
	case *refValue:
		ok = false
	}
	if !ok {
		return nil, fmt.Errorf(`it wants names of methods like ["get"], not the %s %s`, x.Type(), repr(x, 40))
	}
	for e := range starlark.Elements(list) {
		switch e := e.(type) {
		case starlark.String:
			only = append(only, caps.Action(e))
		case *methodValue:
			only = append(only, caps.Action(e.info.Name))
		default:
			return nil, fmt.Errorf("it wants names of methods; there is the %s %s", e.Type(), repr(e, 40))
		}
		if len(only) > maxOnly {
			return nil, fmt.Errorf("more than %d methods; attenuate the reference instead", maxOnly)
		}
	}
	if len(only) == 0 {
		return nil, errors.New("an empty list would allow nothing; leave it out to allow every method")
	}
	return only, nil
}

// maxOnly is how many methods a grant names at most.
const maxOnly = 64

// grantOf finds the grant that is meant by what grant or save returned, by a row of a
// listing, by the grant itself, or by its number as a text.
func (s *Session) grantOf(what string, x starlark.Value) (sturdy.Grant, error) {
	var id string
	switch x := x.(type) {
	case *grantValue:
		return x.grant, nil
	case *sturdyValue:
		id = fmt.Sprintf("%x", x.ref.Grant())
	case *refValue:
		if info, err := s.describe(x.ref); err != nil || info.Kind.Name == look.Grant {
			return sturdy.Grant{Ref: x.ref}, err
		}
	default:
		id = numberOf(x)
	}
	if id == "" {
		return sturdy.Grant{}, fmt.Errorf("%s: it wants a grant: what grant() returned, a row of grants(), or its number like %q; not the %s %s", what, "1c", x.Type(), repr(x, 40))
	}
	ref, err := s.World.Object(s.ctx, id)
	if err != nil {
		return sturdy.Grant{}, err
	}
	if info, err := s.describe(ref); err != nil || info.Kind.Name != look.Grant {
		return sturdy.Grant{}, errors.Join(err, fmt.Errorf("%s: %s is no grant; grants() lists them", what, text.Line(ref.String())))
	}
	return sturdy.Grant{Ref: ref}, nil
}
