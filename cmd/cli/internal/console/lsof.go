package console

import (
	"cmp"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// lsof lists what a thread has.
func (s *Session) lsof(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	th, err := s.oneThread(b, args, kwargs)
	if err != nil {
		return nil, err
	}
	info, err := th.Info(s.ctx)
	if err != nil {
		return nil, err
	}
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	p := possessions{now: now}
	if err := s.holdings(&p, th); err != nil {
		return nil, err
	}
	if info.Parent != "" {
		p.add("parent", "thread "+info.Parent, "", time.Time{})
	}
	if !info.Until.IsZero() {
		p.add("timer", info.Waits, "in step "+info.Step, info.Until)
	}
	for t, err := range look.TimersTo(look.Timers(s.ctx, s.World), info.ID) {
		if err != nil {
			return nil, err
		}
		if t.Method != "" { // else it is what wakes the thread, which stands above
			p.add("timer", t.Method, "from "+t.From, t.Due)
		}
	}
	letters, err := listed(s, look.LettersTo(look.Letters(s.ctx, s.World), info.ID), func(l sturdy.LetterInfo) *record {
		return p.row("message", l.Method, "from "+l.From, l.Sent)
	})
	if err != nil {
		return nil, err
	}
	for l := range starlark.Elements(letters.(*starlark.List)) {
		p.rows = append(p.rows, l)
	}
	return starlark.NewList(p.rows), nil
}

// possessions is the list, being made.
type possessions struct {
	now  time.Time
	rows []starlark.Value
}

func (p *possessions) row(has, what, detail string, at time.Time) *record {
	r := newRecord("Has", starlark.String(has), "What", starlark.String(what), "At", moment(at), "Detail", orNone(detail))
	r.brief = p.now
	return r
}

func (p *possessions) add(has, what, detail string, at time.Time) {
	p.rows = append(p.rows, p.row(has, what, detail, at))
}

// holdings are the rows of what the thread has references to: with which rights, and through
// which grants.
func (s *Session) holdings(p *possessions, th sturdy.ThreadRef) error {
	list, err := look.Holdings(s.ctx, s.World, th.Ref)
	if err != nil {
		return err
	}
	for _, h := range list {
		info, err := s.describe(h.Ref)
		if err != nil {
			p.add(h.Has, h.Ref.String(), err.Error(), time.Time{})
			continue
		}
		what := look.Short(info.Kind.Name) + " " + info.ID
		if h.Name != "" {
			what = h.Name + ": " + what
		}
		detail := s.authority(info, p.now)
		switch h.Has {
		case "ceiling":
			if detail, err = s.ceiling(h.Ref); err != nil {
				return err
			}
		case "meter", "above":
			detail = s.left(sturdy.Meter{Ref: h.Ref})
		}
		p.add(h.Has, what, detail, time.Time{})
	}
	return nil
}

// authority is with which rights a reference is held, and through which grants.
func (s *Session) authority(info sturdy.ObjectInfo, now time.Time) string {
	a := info.Rights
	a.Gate = nil
	parts := []string{a.String()}
	for _, g := range info.Grants {
		terms := look.GrantState(g, now)
		if methods := look.GrantMethods(g); methods != "all" {
			terms += ", only " + methods
		}
		parts = append(parts, "through "+look.GrantName(g)+" ("+terms+")")
	}
	return strings.Join(parts, ", ")
}

// ceiling is the most that a thread may do of any object.
func (s *Session) ceiling(domain caps.Ref) (string, error) {
	state, err := s.World.State(s.ctx, domain)
	if err != nil {
		return "", err
	}
	fields, _ := state.Any().([]caps.Entry)
	for _, f := range fields {
		if bits, ok := f.Val.Any().(int64); ok && f.Key.Any() == any("Rights") {
			return "at most " + cmp.Or(caps.Rights(bits).String(), "nothing") + " of any object", nil
		}
	}
	return "", nil
}

// left is what is on a meter, of all that was ever put on it, and who waits for more.
func (s *Session) left(m sturdy.Meter) string {
	i, err := m.Info(s.ctx)
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, c := range []struct {
		left, given int64
		noun        string
	}{
		{i.Left.Turns, i.Limited.Turns, "turn"},
		{i.Left.Bytes, i.Limited.Bytes, "byte"},
		{i.Left.Messages, i.Limited.Messages, "message"},
	} {
		if c.given > 0 {
			parts = append(parts, text.Int(c.left)+" of "+text.Count(c.given, c.noun))
		}
	}
	if i.Limited.Time > 0 {
		parts = append(parts, text.Took(i.Left.Time)+" of "+text.Took(i.Limited.Time))
	}
	line := cmp.Or(strings.Join(parts, ", "), "nothing is counted")
	if len(parts) > 0 {
		line += " left"
	}
	if i.Parked > 0 {
		line += "; " + text.Count(i.Parked, "thread") + " parked"
	}
	return line
}
