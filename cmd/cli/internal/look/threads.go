package look

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// Conditions are what a thread that has not ended can be, those first that need somebody.
func Conditions() []string {
	return []string{string(sturdy.ThreadParked), "ring", "canceling", "paused", string(sturdy.ThreadRunning), string(sturdy.ThreadWaiting)}
}

// Condition is what a thread does, and whether it waits for itself in the end, is paused or is
// to end: "waiting, paused".
func Condition(t sturdy.ThreadInfo) string { return strings.Join(conditions(t), ", ") }

func conditions(t sturdy.ThreadInfo) []string {
	are := []string{string(t.State)}
	if t.State == sturdy.ThreadDone || t.State == sturdy.ThreadCanceled {
		return are
	}
	if len(t.Ring) > 0 {
		are = append(are, "ring")
	}
	if t.Paused {
		are = append(are, "paused")
	}
	if t.Cancel != "" {
		are = append(are, "canceling")
	}
	return are
}

// Urgency is the place of a thread among all, by what it is: 0 needs somebody most.
func Urgency(t sturdy.ThreadInfo) int {
	return slices.IndexFunc(Conditions(), func(c string) bool { return slices.Contains(conditions(t), c) })
}

// ThreadsThat are those of all that are what one of Conditions says; all of them if it is empty.
func ThreadsThat(all iter.Seq2[sturdy.ThreadInfo, error], are string) (iter.Seq2[sturdy.ThreadInfo, error], error) {
	if are == "" {
		return all, nil
	}
	if !slices.Contains(Conditions(), are) {
		return nil, fmt.Errorf("no thread is ever %q; there are %s", are, strings.Join(Conditions(), ", "))
	}
	return those(all, func(t sturdy.ThreadInfo) bool { return slices.Contains(conditions(t), are) }), nil
}

// Trouble is why a thread does not go on by itself, on one line of text: the error that parked
// it, or the threads that wait for each other. Empty: it does.
func Trouble(t sturdy.ThreadInfo) string {
	switch {
	case t.Error != nil:
		return t.Error.Error()
	case len(t.Ring) > 0:
		return "waits for itself: " + strings.Join(append(slices.Clone(t.Ring), "thread "+t.ID), " > ")
	}
	return ""
}

// Doing is what a thread does, and what it waits for.
func Doing(t sturdy.ThreadInfo) string {
	are := conditions(t)
	if t.Waits != "" {
		are[0] += " for " + t.Waits
		if t.On != "" {
			are[0] += " from " + t.On
		}
		are[0] += " in step " + t.Step
	}
	return strings.Join(are, ", ")
}

// Held is what a thread holds, by a name: the object that it runs on is "object", what it was
// given to see as its root is "root", what it may do at most is "ceiling", what it draws on is
// "meter", and what that draws on in turn is "above".
type Held struct {
	Has  string // "object", "root", "ceiling", "meter", "above", "holds"
	Name string // of what it holds by name
	Ref  caps.Ref
}

// Holdings are the references that a thread has, its object first. They are read from its state,
// which shows also what the methods of a thread do not tell.
func Holdings(ctx context.Context, w World, th caps.Ref) (list []Held, err error) {
	state, err := w.State(ctx, th)
	if err != nil {
		return nil, err
	}
	fields, _ := state.Any().([]caps.Entry)
	for _, f := range fields {
		name, _ := f.Key.Any().(string)
		has := map[string]string{"Of": "object", "Root": "root", "Domain": "ceiling", "Meter": "meter", "Up": "above", "Holds": "holds"}[name]
		switch x := f.Val.Any().(type) {
		case caps.Ref:
			if has != "" && !x.IsNull() {
				list = append(list, Held{Has: has, Ref: x})
			}
			if (has == "ceiling" || has == "meter" || has == "above") && !x.IsNull() {
				of, err := Holdings(ctx, w, x) // a domain has the root and the meter, a meter the one above
				if err != nil {
					return nil, err
				}
				list = append(list, of...)
			}
		case []caps.Entry:
			for _, e := range x {
				if ref, ok := e.Val.Any().(caps.Ref); ok && has != "" {
					key, _ := e.Key.Any().(string)
					list = append(list, Held{Has: has, Name: key, Ref: ref})
				}
			}
		}
	}
	first := slices.IndexFunc(list, func(h Held) bool { return h.Has == "object" })
	if first > 0 {
		list = slices.Concat(list[first:first+1], list[:first], list[first+1:])
	}
	return list, nil
}
