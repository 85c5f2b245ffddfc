package runtimetest

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// EachCrash runs scenario once for each operation on the disk that it comes to, the making
// of the world included, in a new world each time. There the power fails: the operation and
// those behind it do not happen, and scenario sees errors. Then the world is opened again,
// and check looks at it. In the first run the power fails after scenario has ended; what
// scenario returns counts in that run only. Its turns run in Checked mode.
//
// Operations are told apart by what they do to which file for how many times, and not by
// their place among all: goroutines that work on different files take no fixed turns.
func EachCrash(t *testing.T, ks sturdy.Kind, scenario func(*World) error, check func(*testing.T, *World)) {
	t.Helper()
	points, known := []string{""}, map[string]bool{"": true}
	for i := 0; i < len(points) && !t.Failed(); i++ {
		f := &fuse{at: points[i], times: map[string]int{}}
		name := strings.ReplaceAll(points[i], " ", "_")
		t.Run("crash at "+name, func(t *testing.T) { crashAt(t, f, ks, scenario, check) })
		for _, p := range f.passed() {
			if !known[p] {
				known[p], points = true, append(points, p)
			}
		}
	}
}

// crashAt is one run.
func crashAt(t *testing.T, f *fuse, ks sturdy.Kind, scenario func(*World) error, check func(*testing.T, *World)) {
	w := newWorld(t, sturdy.Options{Kinds: []sturdy.Kind{ks}, Checked: true})
	w.files.Hook(f.burn)
	err := w.open()
	if err == nil {
		err = scenario(w)
	}
	if f.at == "" && err != nil {
		t.Fatalf("runtimetest: the scenario failed without a crash: %v", err)
	}
	w.Crash()
	check(t, w)
}

// fuse lets operations happen up to one, and then none.
type fuse struct {
	at string // "": all happen

	mu    sync.Mutex // guards what follows
	times map[string]int
	order []string // the operations that have happened
	blown bool
}

func (f *fuse) burn(op, name string, _ int) (done int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what := strings.TrimSpace(op + " " + name)
	f.times[what]++
	point := fmt.Sprintf("%s #%d", what, f.times[what])
	f.blown = f.blown || point == f.at
	if f.blown {
		return 0, syscall.EIO
	}
	f.order = append(f.order, point)
	return 0, nil
}

func (f *fuse) passed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.order
}
