package console

import (
	"fmt"
	"strings"

	"go.starlark.net/starlark"

	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// How much is shown without being asked for.
const (
	showRows  = 20     // of a table
	showNames = 40     // of a directory
	showFirst = 5      // rows of a collection that is shown as an object
	showAll   = 10_000 // rows of rows(x)
)

// show is what is printed of the value of an expression, without a line feed at the end;
// empty if that says nothing.
func (s *Session) show(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case *refValue:
		return s.showRef(v)
	case *rangeValue:
		return s.showRows(v, showRows)
	case *allRows:
		return s.showRows(v.of, showAll)
	case *record:
		return s.showRecord(v), nil
	case *grantValue:
		return v.show()
	case *sturdyValue:
		return v.show(), nil
	case *promiseValue:
		return v.show()
	case *starlark.List:
		return s.showRows(v, showRows)
	case *page:
		return strings.TrimRight(text.Clean(v.text), "\n"), nil
	}
	return repr(v, maxRepr), nil
}

// page is a text that is a value: what help and the like answer.
type page struct{ text string }

func (p *page) String() string        { return p.text }
func (p *page) Type() string          { return "text" }
func (p *page) Freeze()               {}
func (p *page) Truth() starlark.Bool  { return p.text != "" }
func (p *page) Hash() (uint32, error) { return starlark.String(p.text).Hash() }

// showRef is what a person wants to know of an object: what it is, what this reference
// allows, what can be done with it.
func (s *Session) showRef(r *refValue) (string, error) {
	info, err := s.describe(r.ref)
	if err != nil {
		return "", err
	}
	head := fmt.Sprintf("%s %s%s  %s   ", look.Short(info.Kind.Name), info.ID, at(info), info.Rights)
	switch {
	case info.Kind.Name == look.Directory:
		head += s.entries(r)
	case look.IsCollection(info.Kind.Name):
		rows, err := s.firstRows(r)
		return text.Clean(head + rows), err
	case !info.Kind.Known:
		head += look.Allowed(info) + "   (this program does not know the kind: state(x) works, calls do not)"
	case info.Kind.Name == look.Thread:
		head += s.threadLine(r, info)
	default:
		head += look.Allowed(info)
	}
	return strings.TrimRight(text.Line(head), " "), nil
}

// threadLine is what a thread does; its methods, if the reference does not let that be seen.
func (s *Session) threadLine(r *refValue, info sturdy.ObjectInfo) string {
	th, err := sturdy.ThreadRef{Ref: r.ref}.Info(s.ctx)
	if err != nil {
		return look.Allowed(info)
	}
	line := fmt.Sprintf("%s of %s: %s", th.Program, th.Object, look.Doing(th))
	if why := look.Trouble(th); why != "" {
		line += ": " + why
	}
	return line
}

// entries lists the names of a directory, those of directories with a slash.
func (s *Session) entries(r *refValue) string {
	c := look.NameCursor{Dir: r.ref}
	names, err := c.Next(s.ctx)
	if err != nil {
		return err.Error()
	}
	if len(names) == 0 {
		return "empty"
	}
	s.patience = look.Patience{}
	var list []string
	for _, n := range names[:min(len(names), showNames)] {
		name := look.JoinPath(n.Name)
		if info, err := s.glance(n.Ref); err == nil && info.Kind.Name == look.Directory {
			name += "/"
		}
		list = append(list, name)
	}
	if more := r.Len() - len(list); more > 0 {
		list = append(list, fmt.Sprintf("… %s more (use ls(x))", text.Int(int64(more))))
	}
	return strings.Join(list, " ")
}

func (s *Session) firstRows(r *refValue) (string, error) {
	n := int64(r.Len())
	noun := "row"
	info, err := s.describe(r.ref)
	if err != nil {
		return "", err
	}
	if info.Kind.Name == look.Cell {
		v, _, err := r.Get(starlark.String(""))
		if err != nil {
			return "", err
		}
		return repr(v, maxRepr), nil
	}
	head := text.Count(n, noun)
	if n == 0 {
		return head, nil
	}
	rows, _, err := s.table(&rangeValue{r, look.RowCursor{Coll: r.ref}}, showFirst)
	if n > showFirst {
		rows += fmt.Sprintf("… %s more (use x.range())\n", text.Int(n-showFirst))
	}
	return head + "\n" + strings.TrimRight(rows, "\n"), err
}

// showRecord is on one line if it fits, else a line for each field.
func (s *Session) showRecord(r *record) string {
	if line := repr(r, maxRepr); text.Width(line) <= s.Width {
		return line
	}
	var rows [][]string
	for i, f := range r.fields {
		rows = append(rows, []string{text.Line(lower(f)), s.cell(r.vals[i], maxRepr)})
	}
	return strings.TrimRight(text.Table(rows, s.Width), "\n")
}

// showRows is a table of at most limit rows and a word on what is left.
func (s *Session) showRows(v starlark.Iterable, limit int) (string, error) {
	rows, more, err := s.table(v, limit)
	if err != nil || rows == "" {
		return "", err
	}
	if more {
		rows += leftOver(v, limit)
	}
	return strings.TrimRight(rows, "\n"), s.stopped
}

// leftOver says how to see more than limit rows.
func leftOver(v starlark.Iterable, limit int) string {
	switch v := v.(type) {
	case starlark.Sequence:
		return fmt.Sprintf("… %s more (use rows(_) / _[%d:])", text.Int(int64(v.Len()-limit)), limit)
	case *rangeValue:
		if limit == showRows {
			return "… more (use rows(_))"
		}
	}
	return "… more (use range(from, to))"
}

// methodLines lists methods with types, a line for each.
func methodLines(ms []sturdy.MethodInfo) string {
	var rows [][]string
	for _, m := range ms {
		rows = append(rows, []string{"  " + m.Needs.String(), look.Typed(m)})
	}
	return text.Table(rows, 0)
}
