package sturdy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// between is what may happen between any two things that a test does.
var between = map[string]func(*stage){
	"nothing":  func(*stage) {},
	"a crash":  func(s *stage) { must(s.t, s.Sync(s.t.Context())); s.Crash() },
	"a reopen": func(s *stage) { s.Reopen() },
	"another program, and this again": func(s *stage) {
		s.Pause(true)
		s.Restart()
		s.Settle()
		s.Restart(s.out.kind)
		s.Pause(false)
	},
}

// Pause pauses or resumes all that have not ended, so that nobody is parked for want of his
// program.
func (s *stage) Pause(pause bool) {
	for i := range s.names {
		if s.info(i).State == sturdy.ThreadParked {
			continue // it does nothing, and would be tried again
		}
		if pause {
			_ = s.thread(i).Pause(s.t.Context())
		} else {
			_ = s.thread(i).Resume(s.t.Context())
		}
	}
}

func (s *stage) info(i int) sturdy.ThreadInfo {
	s.t.Helper()
	info, err := s.thread(i).Info(s.t.Context())
	must(s.t, err)
	return info
}

// is fails the test unless thread i is in that state.
func (s *stage) is(i int, state sturdy.ThreadState) {
	s.t.Helper()
	s.Settle()
	if info := s.info(i); info.State != state {
		s.t.Errorf("thread %d is %s (step %s, error %v); want %s", i, info.State, info.Step, info.Error, state)
	}
}

// said fails the test unless probe i's log is want. Keys are left out.
func (s *stage) said(i int, want ...string) {
	s.t.Helper()
	s.Settle()
	state, err := probeState.Call(s.t.Context(), s.at(s.names[i]))
	must(s.t, err)
	var got []string
	for _, line := range state.Log {
		words := strings.Fields(line)
		if len(words) == 4 && len(words[2]) > 20 {
			words[2] = "key"
		}
		got = append(got, strings.Join(words, " "))
	}
	if !equal(got, want) {
		s.t.Errorf("probe %d says %q; want %q", i, got, want)
	}
}

func (s *stage) tells(i int64) { s.t.Helper(); must(s.t, probeTell.Call(s.t.Context(), s.at("op"), i)) }

// threadTable is what threads promise, each with what is done to a thread with that script.
var threadTable = []struct {
	name, script string
	do           func(s *stage, now func())
}{
	{"turns, steps and their errors happen once", "T S E T", func(s *stage, now func()) {
		s.said(0, "0 T", "1 S key 1", "2 E", "3 T")
		now()
		s.said(0, "0 T", "1 S key 1", "2 E", "3 T")
		s.is(0, sturdy.ThreadDone)
	}},
	{"what waited is received in order, and once", "T R R R T", func(s *stage, now func()) {
		s.tells(0)
		now()
		s.tells(0)
		s.said(0, "0 T", "1 R op 0", "2 R op 1")
		now()
		s.is(0, sturdy.ThreadWaiting)
		if info := s.info(0); info.Waits != "message next" || info.Step == "" || !info.Until.IsZero() || !strings.HasPrefix(info.At, "proof_thread_kinds_test.go:") {
			s.t.Errorf("%+v", info)
		}
		s.tells(0)
		now()
		s.said(0, "0 T", "1 R op 0", "2 R op 1", "3 R op 2", "4 T")
	}},
	{"a sleep is counted from its first call", "Z T", func(s *stage, now func()) {
		s.is(0, sturdy.ThreadWaiting)
		until := s.info(0).Until
		s.Advance(40 * time.Minute)
		now()
		s.is(0, sturdy.ThreadWaiting)
		if got := s.info(0).Until; !got.Equal(until) {
			s.t.Errorf("it was to last until %s, and now until %s", until, got)
		}
		s.Advance(19 * time.Minute)
		now()
		s.said(0)
		s.Advance(time.Minute)
		s.said(0, "0 Z", "1 T")
	}},
	{"a deadline is counted from the first call", "r T", func(s *stage, now func()) {
		s.Settle()
		s.Pass(59 * time.Minute)
		now()
		s.is(0, sturdy.ThreadWaiting)
		s.Pass(time.Minute)
		now()
		s.said(0, "0 r timeout", "1 T")
	}},
	{"a message in time ends the deadline", "r R T", func(s *stage, now func()) {
		s.Settle()
		s.Advance(30 * time.Minute)
		s.tells(0)
		now()
		s.Advance(100 * time.Hour)
		s.said(0, "0 r op 0")
		now()
		s.tells(0)
		s.said(0, "0 r op 0", "1 R op 1", "2 T")
	}},
	{"a clock that is set back does not lose a deadline", "r T", func(s *stage, now func()) {
		s.Settle()
		s.Pass(time.Hour - time.Minute)
		s.tellsNobody(0)
		s.Pass(-30 * time.Minute)
		now()
		s.is(0, sturdy.ThreadWaiting)
		s.Advance(31 * time.Minute)
		s.said(0, "0 r timeout", "1 T")
	}},
	{"rounds are scopes of their own", "L2( S R L2( S T ) ) S", func(s *stage, now func()) {
		s.tells(0)
		s.Settle()
		now()
		s.tells(0)
		s.said(0, "0[0].0 S key 1", "0[0].1 R op 0", "0[0].2[0].0 S key 1", "0[0].2[0].1 T", "0[0].2[1].0 S key 1", "0[0].2[1].1 T",
			"0[1].0 S key 1", "0[1].1 R op 1", "0[1].2[0].0 S key 1", "0[1].2[0].1 T", "0[1].2[1].0 S key 1", "0[1].2[1].1 T", "1 S key 1")
		s.is(0, sturdy.ThreadDone)
	}},
	{"paused is stopped, where it waits and before a step", "R T R T", func(s *stage, now func()) {
		s.Settle()
		must(s.t, s.thread(0).Pause(s.t.Context()))
		s.tells(0)
		now2 := func() { s.Settle(); s.Crash(); s.Settle() }
		now2()
		s.said(0)
		must(s.t, s.thread(0).Resume(s.t.Context()))
		s.said(0, "0 R op 0", "1 T")
		now()
		must(s.t, s.thread(0).Pause(s.t.Context()))
		s.tells(0)
		s.said(0, "0 R op 0", "1 T")
		must(s.t, s.thread(0).Resume(s.t.Context()))
		now()
		s.said(0, "0 R op 0", "1 T", "2 R op 1", "3 T")
	}},
	{"paused beyond its deadline, it comes at once", "r T", func(s *stage, now func()) {
		s.Settle()
		must(s.t, s.thread(0).Pause(s.t.Context()))
		s.Advance(10 * time.Hour)
		s.said(0)
		must(s.t, s.thread(0).Resume(s.t.Context()))
		now()
		s.said(0, "0 r timeout", "1 T")
	}},
	{"canceled where it waits, it undoes and ends", "T R T", func(s *stage, now func()) {
		s.Settle()
		must(s.t, s.thread(0).Cancel(s.t.Context(), "enough"))
		now()
		s.said(0, "0 T", "canceled")
		s.is(0, sturdy.ThreadCanceled)
		now()
		wants(s.t, s.thread(0).Wait(s.t.Context()), sturdy.ErrCanceled)
		wants(s.t, s.thread(0).Resume(s.t.Context()), caps.ErrGone)
		wants(s.t, s.thread(0).Pause(s.t.Context()), caps.ErrGone)
	}},
	{"canceled while it is paused, it waits to be resumed", "Z T", func(s *stage, now func()) {
		s.Settle()
		must(s.t, s.thread(0).Pause(s.t.Context()))
		must(s.t, s.thread(0).Cancel(s.t.Context(), ""))
		s.Crash()
		s.is(0, sturdy.ThreadWaiting)
		now()
		_ = s.thread(0).Resume(s.t.Context()) // it may have been, see between
		s.said(0, "canceled")
		s.is(0, sturdy.ThreadCanceled)
	}},
	{"a panic parks, with its stack", "T X", func(s *stage, now func()) {
		s.is(0, sturdy.ThreadParked)
		now()
		s.is(0, sturdy.ThreadParked)
		info := s.info(0)
		if info.Error == nil || info.Error.Code != caps.ErrPanicked || !strings.Contains(info.Error.Text, "the program panics") || !strings.Contains(info.Stack, "proof_thread_kinds_test.go") {
			s.t.Errorf("%+v", info)
		}
		s.said(0, "0 T")
	}},
	{"resumed, it tries the failed steps again", "S K T", func(s *stage, now func()) {
		s.is(0, sturdy.ThreadParked)
		now()
		must(s.t, s.thread(0).Resume(s.t.Context()))
		s.is(0, sturdy.ThreadParked)
		now()
		s.out.heal()
		must(s.t, s.thread(0).Resume(s.t.Context()))
		s.said(0, "0 S key 1", "1 K key 3", "2 T")
		s.is(0, sturdy.ThreadDone)
	}},
	{"a program that is not known waits for one that is", "T R T", func(s *stage, now func()) {
		s.said(0, "0 T")
		s.Restart()
		must(s.t, s.thread(0).Resume(s.t.Context()))
		s.is(0, sturdy.ThreadWaiting)
		s.Restart(s.out.kind)
		s.is(0, sturdy.ThreadWaiting)
		s.tells(0)
		now()
		s.said(0, "0 T", "1 R op 0", "2 T")
	}},
	{"one that has ended gets no letters", "T", func(s *stage, now func()) {
		s.is(0, sturdy.ThreadDone)
		now()
		s.tells(0)
		s.Settle()
		dead := 0
		for l, err := range s.Activity().DeadLetters(s.t.Context()) {
			must(s.t, err)
			if dead++; l.Method != "next" || !strings.Contains(l.Error, "ended") {
				s.t.Errorf("%+v", l)
			}
		}
		if dead != 1 {
			s.t.Errorf("%d dead letters", dead)
		}
	}},
	{"what waits for one that ends is told", "R T", func(s *stage, now func()) {
		s.tells(0)
		s.tells(0)
		s.is(0, sturdy.ThreadDone)
		now()
		s.Settle()
		for range s.Activity().Letters(s.t.Context()) {
			s.t.Error("a letter waits for a thread that has ended")
		}
	}},
	{"children are threads, too", "P( T S ) T", func(s *stage, now func()) {
		s.said(0, "0 P", "1 T")
		now()
		s.Settle()
		state, err := probeState.Call(s.t.Context(), s.at("p0"))
		must(s.t, err)
		if kid, err := probeState.Call(s.t.Context(), state.Kids[0]); err != nil || len(kid.Log) != 2 {
			s.t.Errorf("%q, %v", kid.Log, err)
		}
	}},
}

// tellsNobody wakes nobody: the message is of a name that nobody waits for.
func (s *stage) tellsNobody(i int) {
	caps.Command[string]("other").Send(s.t.Context(), s.thread(i).Ref, "x")
	s.Settle()
}

func TestWhatThreadsPromise(t *testing.T) {
	for _, row := range threadTable {
		for what, do := range between {
			for _, checked := range []bool{true, false} {
				if raceEnabled && checked {
					continue
				}
				t.Run(fmt.Sprint(row.name, ", with ", what, " between, checked ", checked), func(t *testing.T) {
					s := newStage(t, checked, row.script)
					row.do(s, func() { s.Settle(); do(s); s.Settle() })
				})
			}
		}
	}
}

// errOdd is a failure that is nobody's cancellation.
var errOdd = errors.New("odd")

// program runs fn as the program of a thread.
func program(t *testing.T, fn func(*sturdy.Thread[probe]) error) (*stage, sturdy.ThreadRef) {
	t.Helper()
	return programOf(t, newOuter(), fn)
}

func programOf(t *testing.T, out *outer, fn func(*sturdy.Thread[probe]) error) (*stage, sturdy.ThreadRef) {
	t.Helper()
	out.kind = probeKindOf(fn)
	s := &stage{World: unchecked(t, out.kind), t: t, out: out, canceled: map[string]bool{}}
	must(t, s.begin([]string{""}))
	return s, s.thread(0)
}

func line(th *sturdy.Thread[probe], text string) error {
	return th.Turn("line "+text, func(_ *sturdy.WriteTurn, p *probe) error { p.Log = append(p.Log, text); return nil })
}

func TestACanceledThreadsStepEndsWhateverMomentItIsCanceledAt(t *testing.T) {
	for _, begun := range []bool{false, true} {
		t.Run(fmt.Sprint("begun ", begun), func(t *testing.T) {
			running, undone := make(chan bool, 1), make(chan error, 1)
			s, th := program(t, func(th *sturdy.Thread[probe]) error {
				_, _ = sturdy.Receive(th, "go", probeNext, 0)
				_, err := sturdy.Step(th, "work", func(ctx context.Context) (bool, error) {
					running <- true
					<-ctx.Done()
					return true, ctx.Err()
				})
				_, again := sturdy.Step(th, "undo", func(ctx context.Context) (bool, error) { return true, ctx.Err() })
				undone <- again
				return err
			})
			s.is(0, sturdy.ThreadWaiting)
			relaxed, op := sturdy.Relaxed(t.Context()), s.at("op")
			reached, open := gate(t, s.World)
			must(t, probeTell.Call(relaxed, op, 0))
			<-reached // the step has begun, and waits for the disk
			if begun {
				open()
				<-running
			}
			must(t, th.Cancel(relaxed, "stop"))
			open()
			must(t, <-undone)
			wants(t, th.Wait(t.Context()), sturdy.ErrCanceled)
		})
	}
}

func TestAStepThatEndsWhileItsThreadIsPausedIsRecorded(t *testing.T) {
	running, end, runs := make(chan bool, 9), make(chan bool), 0
	s, th := program(t, func(th *sturdy.Thread[probe]) error {
		_, err := sturdy.Step(th, "pay", func(context.Context) (int, error) {
			runs++
			running <- true
			<-end
			return runs, nil
		})
		return errors.Join(err, line(th, "paid"))
	})
	<-running
	must(t, th.Pause(t.Context()))
	close(end)
	s.Settle()
	s.said(0)
	must(t, th.Resume(t.Context()))
	s.said(0, "paid")
	if runs != 1 {
		t.Errorf("it paid %d times", runs)
	}
}

func TestTheCancellationOfAnotherIsAFailure(t *testing.T) {
	s, _ := program(t, func(*sturdy.Thread[probe]) error {
		return &caps.Error{Code: sturdy.ErrCanceled, Text: "a child was"}
	})
	s.is(0, sturdy.ThreadParked)
}

func TestAProgramThatEndsItsGoroutineIsParked(t *testing.T) {
	s, _ := program(t, func(*sturdy.Thread[probe]) error { goexit(); return nil })
	s.is(0, sturdy.ThreadParked)
}

func TestAnErrorOfAnyLengthParksAndIsTold(t *testing.T) {
	var parent sturdy.ThreadInfo
	out := newOuter()
	s, _ := programOf(t, out, func(th *sturdy.Thread[probe]) error {
		var child bool
		if err := th.View(func(_ *sturdy.ReadTurn, p *probe) error { child = p.Name == "child"; return nil }); err != nil || child {
			return errors.Join(err, errors.New(strings.Repeat("long ", 1<<19)))
		}
		err := th.Turn("spawn", func(t *sturdy.WriteTurn, p *probe) error {
			kid := out.kind.New(t, probe{Name: "child"})
			p.Kids = append(p.Kids, t.Spawn(probePlay.To(kid), sturdy.Domain{}).Ref)
			return nil
		})
		if err != nil {
			return err
		}
		parent, err = sturdy.Receive(th, "child", sturdy.ChildFailed, time.Hour)
		return errors.Join(err, line(th, "told"))
	})
	s.said(0, "told")
	if parent.State != sturdy.ThreadParked || parent.Error == nil {
		t.Errorf("%+v", parent.Error)
	}
}

func TestOddWaits(t *testing.T) {
	s, _ := program(t, func(th *sturdy.Thread[probe]) error {
		if err := th.Sleep("not at all", 0); err != nil {
			return err
		}
		if err := th.Sleep("less", -time.Hour); err != nil {
			return err
		}
		if _, err := sturdy.Receive(th, "late already", probeNext, -1); !errors.Is(err, sturdy.ErrTimeout) {
			return errors.Join(errOdd, err)
		}
		if _, err := sturdy.Receive(th, "of its own", caps.Command[string]("cancel"), 0); !errors.Is(err, caps.ErrBadArgument) {
			return errors.Join(errOdd, err)
		}
		_, err := sturdy.Receive(th, "ages", probeNext, 1<<63-1)
		return err
	})
	s.is(0, sturdy.ThreadWaiting)
	if info := s.info(0); info.Step != "ages" || !info.Until.IsZero() {
		t.Errorf("%+v", info)
	}
	s.tells(0)
	s.is(0, sturdy.ThreadDone)
}
