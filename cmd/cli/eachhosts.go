package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/console"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/look"
	"github.com/sturdyrt/sturdy/cmd/cli/internal/text"
)

// maxTargets is how many hosts one command visits, and maxList how long a list of them may be.
const (
	maxTargets = 10_000
	maxList    = 16 << 20
)

// targets are the hosts that the arguments name.
func (a *app) targets(args []string) (list []target, err error) {
	for _, arg := range args {
		of := []target{{arg, arg}}
		switch {
		case arg == "":
			err = errors.New("the name of a host is empty")
		case isSturdyRef(arg):
			of, err = targetOf("", arg)
		case arg == "-":
			of, err = readTargets(a.in, "the standard input")
		case isFile(arg):
			of, err = readTargetFile(arg)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, of...)
	}
	switch {
	case len(list) == 0:
		return nil, errors.New("the list of hosts is empty")
	case len(list) > maxTargets:
		return nil, fmt.Errorf("%s are more than %s at once", text.Count(int64(len(list)), "host"), text.Int(maxTargets))
	}
	return list, nil
}

// targetOf is the host of a sturdy ref. Without a name it is listed by the short name of the host, and the grant.
func targetOf(name, ref string) ([]target, error) {
	u, err := caps.ParseSturdyRef(ref)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = look.SturdyName(u)
	}
	return []target{{name, ref}}, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func readTargetFile(path string) ([]target, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	list, err := readTargets(f, path)
	return list, errors.Join(err, f.Close())
}

// readTargets reads a list of hosts: a directory or a sturdy ref in a line, the latter with a name
// before it, perhaps. An error says in which line, and nothing of what stands there, as that may
// be a secret.
func readTargets(from io.Reader, name string) (list []target, err error) {
	content, err := io.ReadAll(io.LimitReader(from, maxList))
	if err != nil {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(string(content)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		last := words[len(words)-1]
		of := []target{{text.Line(line), line}}
		if isSturdyRef(last) {
			if len(words) > 2 {
				return nil, fmt.Errorf("%s, line %d: a name and a sturdy ref are two words", name, n)
			}
			label := ""
			if len(words) == 2 {
				label = text.Line(words[0])
			}
			if of, err = targetOf(label, last); err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
			}
		}
		list = append(list, of...)
	}
	return list, nil
}

// waiting says on the error stream which hosts are waited for, while that takes long.
type waiting struct {
	mu    sync.Mutex
	of    []string
	done  int
	total int
	stop  func()
}

func newWaiting(a *app, targets []target) *waiting {
	w := &waiting{total: len(targets)}
	w.stop = repeatedly(patience, func() { fmt.Fprintln(a.err, w.line()) })
	return w
}

func (w *waiting) begin(t target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of = append(w.of, t.name)
}

func (w *waiting) end(t target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done++
	if i := slices.Index(w.of, t.name); i >= 0 {
		w.of = slices.Delete(w.of, i, i+1)
	}
}

// maxWaiting is how many hosts are named.
const maxWaiting = 3

func (w *waiting) line() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := fmt.Sprintf("%s of %s", text.Int(int64(w.done)), text.Count(int64(w.total), "host"))
	if len(w.of) > 0 {
		line += ", waiting for " + text.Line(strings.Join(w.of[:min(len(w.of), maxWaiting)], ", "))
	}
	if len(w.of) > maxWaiting {
		line += fmt.Sprintf(" and %d more", len(w.of)-maxWaiting)
	}
	return line
}

// printJSON prints an object for each end.
func printJSON(out io.Writer, ends []*end) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for _, of := range ends {
		if err := e.Encode(jsonEnd(of)); err != nil {
			return err
		}
	}
	return nil
}

// eachEnd is an end for JSON.
type eachEnd struct {
	Host    string     `json:"host"`
	Result  any        `json:"result"`
	Printed string     `json:"printed,omitempty"`
	Error   *eachError `json:"error,omitempty"`
	Seconds float64    `json:"seconds"`
}

type eachError struct {
	Code string `json:"code,omitempty"` // of caps, if it is one of these
	Line int    `json:"line,omitempty"` // of the script
	Text string `json:"text"`
}

func jsonEnd(e *end) eachEnd {
	j := eachEnd{Host: e.name, Result: e.outcome.Value, Printed: e.printed, Seconds: e.took.Round(time.Millisecond).Seconds()}
	if e.err == nil {
		return j
	}
	j.Error = &eachError{Text: oneLine(e.err)}
	if of := (*caps.Error)(nil); errors.As(e.err, &of) {
		j.Error.Code = string(of.Code)
	}
	if f := (*console.Failure)(nil); errors.As(e.err, &f) {
		j.Error.Line = f.Line
	}
	return j
}
