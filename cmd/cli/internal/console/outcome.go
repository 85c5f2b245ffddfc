package console

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	starlarktime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// Outcome is what a script came to: the value of its last statement, as text, so that it outlives
// the session.
type Outcome struct {
	// Titles are those of the columns of Rows; nil: there is one column, without a title.
	Titles []string
	// Rows are as many as the value has, if it is a table, and one for any other; none if the last
	// statement had no value.
	Rows [][]string
	// Value is the value for JSON; nil: none.
	Value any
}

// maxOutcome is how many rows of a value are an outcome.
const maxOutcome = showAll

// Outcome returns what the last Run came to. Reading it may ask the world.
func (s *Session) Outcome(ctx context.Context) (o Outcome, err error) {
	if s.last == nil || s.last == starlark.None {
		return o, nil
	}
	s.ctx = ctx
	defer func() { s.ctx = context.Background() }()
	if o.Value, err = s.plain(s.last, 0); err != nil {
		return o, err
	}
	s.seen(&o)
	return o, s.stopped
}

// seen fills in what a person is shown.
func (s *Session) seen(o *Outcome) {
	switch v := s.last.(type) {
	case *starlark.List, *rangeValue, *allRows:
		g, _ := s.grid(v.(starlark.Iterable), maxOutcome)
		if o.Titles, o.Rows = g.titles, g.rows; len(g.titles) > 0 || len(g.rows) == 0 {
			return
		}
	case *record:
		g, _ := s.grid(starlark.NewList([]starlark.Value{v}), 1)
		o.Titles, o.Rows = g.titles, g.rows
		return
	case *page:
		o.Rows = [][]string{{text.Line(strings.TrimSpace(v.text))}}
		return
	}
	o.Titles, o.Rows = nil, [][]string{{s.cell(s.last, maxRepr)}}
}

// plain is v as encoding/json takes it: objects and whatever else is no data by what it is called,
// bytes in base64, times as text.
func (s *Session) plain(v starlark.Value, depth int) (any, error) {
	if depth > maxPlain {
		return nil, fmt.Errorf("the result is more than %d deep", maxPlain)
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.Int:
		return json.Number(v.String()), nil
	case starlark.Float:
		if _, err := json.Marshal(float64(v)); err != nil {
			return v.String(), nil
		}
		return float64(v), nil
	case starlark.String:
		return string(v), nil
	case starlark.Bytes:
		return base64.StdEncoding.EncodeToString([]byte(v)), nil
	case starlarktime.Time:
		return time.Time(v).UTC().Format(time.RFC3339Nano), nil
	case *page:
		return v.text, nil
	case *refValue:
		info, err := s.glance(v.ref)
		if err != nil {
			return v.String(), nil
		}
		return text.Line(info.Kind.Name + " " + info.ID), nil
	case *record:
		return s.plainFields(v, depth)
	case starlark.IterableMapping:
		return s.plainMap(v, depth)
	case starlark.Iterable:
		return s.plainList(v, depth)
	}
	return v.String(), nil
}

// maxPlain is how deep a result is for JSON.
const maxPlain = 32

func (s *Session) plainFields(r *record, depth int) (any, error) {
	o := map[string]any{}
	for i, name := range r.AttrNames() {
		x, err := s.plain(r.vals[i], depth+1)
		if err != nil {
			return nil, err
		}
		o[name] = x
	}
	return o, nil
}

func (s *Session) plainMap(m starlark.IterableMapping, depth int) (any, error) {
	o := map[string]any{}
	for _, item := range m.Items() {
		x, err := s.plain(item[1], depth+1)
		if err != nil {
			return nil, err
		}
		key, ok := starlark.AsString(item[0])
		if !ok {
			key = item[0].String()
		}
		o[key] = x
	}
	return o, nil
}

func (s *Session) plainList(v starlark.Iterable, depth int) (any, error) {
	list := []any{}
	elems, more := first(v, maxOutcome)
	if more {
		return nil, fmt.Errorf("the result has more than %s rows", text.Int(maxOutcome))
	}
	for _, e := range elems {
		x, err := s.plain(e, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	return list, s.stopped
}
