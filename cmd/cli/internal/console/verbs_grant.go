package console

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/picture"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// grantVerbs are the functions that give, show and take back authority.
func (s *Session) grantVerbs() []verb {
	return []verb{
		{"grant", `x[, to=][, until=][, only=][, deep=]`, `give x on terms: until="7d", only=["get"]. .ref is what to give away; deep=True covers what comes out of it, too`, s.grant},
		{"revoke", "g", "take a grant back for good, with everything that was derived from it", s.revoke},
		{"grants", "[x]", "the grants on x; without x, all of them", s.grants},
		{"tree", "[x]", "the grants as a tree", s.tree},
		{"who", "x", "who holds x, through which grant, since when, and how often it was used", s.who},
		{"path", "x", "the shortest way from the root to x", s.path},
		{"breaks", "g", "what would stop working if g were revoked", s.breaks},
		{"expiring", `["7d"]`, "the grants that run out by then", s.expiring},
		{"allows", "x", "what this very reference lets its holder call", s.allows},
		{"save", `x[, to=][, until=][, only=][, deep=]`, "a grant as a text, which is a secret: it is printed once. .attenuate, .only, .until make weaker ones, .reveal() shows it", s.save},
		{"restore", "text", "what a sturdy://… text stands for", s.restore},
	}
}

func (s *Session) grant(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	ref, terms, err := s.terms(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	v := &grantValue{s: s}
	err = s.writing(b.Name(), func() error {
		return s.Runtime.Update(s.ctx, func(t *sturdy.WriteTurn) error {
			v.ref, v.grant = t.Grant(ref, terms)
			return nil
		})
	})
	return v, err
}

func (s *Session) revoke(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	g, err := s.oneGrant(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return starlark.None, s.writing(b.Name(), func() error { return g.Revoke(s.ctx) })
}

// optionalRef is the one argument x, which may be left out.
func optionalRef(b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (ref caps.Ref, err error) {
	var x *refValue
	if err = starlark.UnpackArgs(b.Name(), args, kwargs, "x??", &x); x != nil {
		ref = x.ref
	}
	return ref, err
}

func (s *Session) grants(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	of, err := optionalRef(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return s.grantRows(s.Runtime.Grants(s.ctx, of))
}

func (s *Session) expiring(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var until starlark.Value = starlark.String("7d")
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "until?", &until); err != nil {
		return nil, err
	}
	before, err := s.until(until)
	if err != nil {
		return nil, fmt.Errorf("expiring: %w", err)
	}
	return s.grantRows(s.Runtime.Expiring(s.ctx, before))
}

func (s *Session) grantRows(infos iter.Seq2[sturdy.GrantInfo, error]) (starlark.Value, error) {
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	return listed(s, infos, func(info sturdy.GrantInfo) *record { return grantRow(info, now) })
}

// listed is a list of records, as long as rows() would print. It says if there are more.
func listed[T any](s *Session, all iter.Seq2[T, error], row func(T) *record) (starlark.Value, error) {
	list := []starlark.Value{}
	for e, err := range all {
		if err == nil {
			err = s.goOn(len(list))
		}
		if err != nil {
			return nil, err
		}
		if len(list) == showAll {
			fmt.Fprintf(s.Out, "there are more than %s; these are the first\n", text.Int(showAll))
			break
		}
		list = append(list, row(e))
	}
	return starlark.NewList(list), nil
}

func (s *Session) tree(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	of, err := optionalRef(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	g, err := picture.Load(s.ctx, s.Runtime, of, now)
	if err != nil {
		return nil, err
	}
	return &page{g.Text()}, nil
}

// searched is for how many rows of a listing a way from the root is looked for, which takes
// time for each.
const searched = 50

func (s *Session) who(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	x, err := oneRef(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return s.holders(s.Runtime.Holders(s.ctx, x.ref), false)
}

func (s *Session) breaks(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	g, err := s.oneGrant(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	return s.holders(s.Runtime.Breaks(s.ctx, g), true)
}

// holders lists who holds what; what is held is told if it is not the same in all rows.
func (s *Session) holders(all iter.Seq2[sturdy.Holder, error], object bool) (starlark.Value, error) {
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	rows := 0
	return listed(s, all, func(h sturdy.Holder) *record {
		rows++
		return s.holder(h, now, rows <= searched, object)
	})
}

// holder is one row. What a grant holds is in nobody's hands yet; the row says on which terms
// it is given away.
func (s *Session) holder(h sturdy.Holder, now time.Time, search, object bool) *record {
	r := newRecord("Holder", starlark.String(look.Place(s.ctx, s.Runtime, h, search)))
	r.brief = now
	held, rights, through, terms := h.Ref.String(), "", "", h.Grant
	if info, err := s.describe(h.Ref); err == nil {
		a := info.Rights
		a.Gate = nil
		held, rights = look.Short(info.Kind.Name)+" "+info.ID, a.String()
		if len(info.Grants) > 0 {
			through = strings.TrimPrefix(look.GrantName(info.Grants[0]), "grant ")
			if terms == nil {
				terms = &info.Grants[0]
			}
		}
	}
	if object {
		r.add("Object", starlark.String(held))
	}
	state, by := "", ""
	var until, uses, used starlark.Value = starlark.None, starlark.None, starlark.None
	if terms != nil {
		state, by, until = look.GrantState(*terms, now), terms.By, moment(terms.Until)
		uses, used = starlark.MakeInt64(terms.Uses), moment(terms.Used)
	}
	if h.Grant != nil {
		rights = look.GrantRights(*h.Grant)
	}
	r.add("Rights", starlark.String(rights))
	r.add("Through", orNone(through))
	r.add("State", orNone(state))
	r.add("Until", until)
	r.add("By", orNone(by))
	r.add("Since", moment(h.Since))
	r.add("Uses", uses)
	r.add("Used", used)
	return r
}

func orNone(s string) starlark.Value {
	if s == "" {
		return starlark.None
	}
	return starlark.String(s)
}

func (s *Session) path(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	x, err := oneRef(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	path, err := s.Runtime.PathTo(s.ctx, x.ref)
	if err != nil {
		return nil, err
	}
	return starlark.String(sturdy.PathText(path)), nil
}

// allows lists methods; for typed operations of collections there is a name only.
func (s *Session) allows(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	_, info, err := s.described(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	if gate := info.Rights.Gate; gate != nil && gate.Alive(nil) != nil {
		return &page{"nothing; " + gate.Alive(nil).Error()}, nil
	}
	if !info.Kind.Known {
		return &page{"this program does not know the kind; as far as its grants go: " + look.Allowed(info)}, nil
	}
	list := []starlark.Value{}
	for _, name := range info.Allows {
		row := newRecord("Method", starlark.String(name), "Needs", starlark.String("w"))
		at := slices.IndexFunc(info.Kind.Methods, func(m sturdy.MethodInfo) bool { return m.Name == name })
		if at >= 0 {
			m := info.Kind.Methods[at]
			row = newRecord("Method", starlark.String(look.Typed(m)), "Needs", starlark.String(m.Needs.String()))
		}
		list = append(list, row)
	}
	return starlark.NewList(list), nil
}
