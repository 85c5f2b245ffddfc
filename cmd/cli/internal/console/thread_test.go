package console

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

// robot is what the threads of these tests run on.
type robot struct{}

const (
	walk caps.Action            = "walk"
	trip caps.Action            = "trip"
	turn caps.Command[caps.Ref] = "turn"
	send caps.Action            = "send"
)

// walking goes on for a year, unless it is told to turn.
func walking(th *sturdy.Thread[robot]) error {
	_, err := sturdy.Receive(th, "ahead", turn, 365*24*time.Hour)
	return err
}

func tripping(*sturdy.Thread[robot]) error { return errors.New("a \x1b[31mred\x1b[0m\nstone") }

// sending starts another robot, which has less than it has itself.
func sending(th *sturdy.Thread[robot]) error {
	return th.Turn("start", func(t *sturdy.WriteTurn, _ *robot) error {
		t.Spawn(walk.To(th.Self()), sturdy.Domain{Meter: t.NewMeter(sturdy.Budget{Messages: 3}, caps.Ref{})})
		return nil
	})
}

var robotKind = sturdy.Define("test.example/robot", sturdy.Runs(walk, walking), sturdy.Runs(trip, tripping), sturdy.Runs(send, sending))

// populate puts a robot into the root and lets it run programs, in this order: what is older
// stands first in ps.
func populate(t testing.TB, s *Session, programs ...caps.Action) {
	ctx := context.Background()
	var r caps.Ref
	err := s.Runtime.Update(ctx, func(turn *sturdy.WriteTurn) error {
		r = robotKind.New(turn, robot{})
		return s.Runtime.Root().Put(turn, "robot", r)
	})
	for _, p := range programs {
		err = errors.Join(err, p.Call(ctx, r))
	}
	if _, failed := s.Runtime.Settle(ctx); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

func TestThreadsThatNeedSomebodyStandFirstInTop(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	populate(t, s, walk, walk, walk, trip)
	run(t, s, out, "pause(ps()[1])")
	for src, want := range map[string]string{
		"[t.program for t in ps()]":                   `["walk", "walk", "walk", "trip"]`,
		"[t.state for t in top()]":                    `["parked", "waiting, paused", "waiting", "waiting"]`,
		`len(ps("paused")), len(ps(state="waiting"))`: "(1, 3)",
		"top([3, 1, 2], 1)":                           "[3]",
		`[t.since for t in top(ps(), 4, "since")] == sorted([t.since for t in ps()], reverse=True)`: `True`,
		"(ps()[0].error, ps()[3].waits, ps()[3].until)":                                             "(None, None, None)",
	} {
		if got := run(t, s, out, src); got != want+"\n" {
			t.Errorf("%s prints %q, want %q", src, got, want)
		}
	}
}

func TestTheErrorOfAThreadIsOneLineBelowItsRow(t *testing.T) {
	s, out := begin(t, Options{Writable: true, Width: 60})
	populate(t, s, trip, walk)
	lines := strings.Split(run(t, s, out, "ps()"), "\n")
	if len(lines) != 5 || lines[2] != `    test.example/robot.trip: a \x1b[31mred\x1b[0m\nstone` || strings.HasPrefix(lines[3], " ") {
		t.Errorf("%q", lines)
	}
	s.Width = 30
	for line := range strings.SplitSeq(run(t, s, out, "watch(ps, times=1)"), "\n") {
		if len([]rune(line)) > 30 {
			t.Errorf("a line of %d: %q", len([]rune(line)), line)
		}
	}
}

func TestATabOffersWhatAThreadWaitsFor(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	populate(t, s, walk, trip)
	run(t, s, out, "a, b = [thread(t) for t in ps()]; blind = a.attenuate('w')")
	for line, want := range map[string]string{
		"a.send.t": "[a.send.turn(]", "b.send.t": "[]", "blind.send.t": "[]",
		"a.send.":    "[a.send.turn( a.send.pause( a.send.resume( a.send.cancel( a.send.info( a.send.steps(]",
		"cancel(a, ": "[why=]", "wait(a, s": "[seconds=]",
	} {
		_, list := s.Complete(t.Context(), line)
		got := []string{}
		for _, c := range list {
			got = append(got, c.Text)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q goes on with %q, want %s", line, got, want)
		}
	}
}

func TestAWaitForAThreadIsInterrupted(t *testing.T) {
	s, _ := begin(t, Options{Writable: true})
	populate(t, s, walk)
	ctx, cancel := context.WithCancel(t.Context())
	s.Out = cancels{cancel}
	err := s.Run(ctx, "test", "print(1); wait(ps()[0])")
	if err == nil || !strings.HasPrefix(err.Error(), "interrupted") {
		t.Error(err)
	}
}

func TestWhatAThreadCameToDoesNotSayThatNothingHappened(t *testing.T) {
	s, _ := begin(t, Options{Writable: true})
	populate(t, s, trip)
	err := s.Run(t.Context(), "test", "wait(ps()[0])")
	if err == nil || !strings.HasPrefix(err.Error(), "wait: the thread is parked: ") || strings.Contains(err.Error(), "happened") {
		t.Error(err)
	}
	if !errors.Is(err, caps.ErrFailed) {
		t.Errorf("code %v", err)
	}
}

func TestAThreadIsToldByWhatMayBeSeenOfIt(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	populate(t, s, walk)
	run(t, s, out, "th = thread(ps()[0])")
	if got := run(t, s, out, "th"); !strings.Contains(got, "rwx   walk of robot ") || !strings.Contains(got, ": waiting for message turn in step ahead\n") {
		t.Error(got)
	}
	if got := run(t, s, out, "th.attenuate('w')"); !strings.Contains(got, "w: pause() resume()") {
		t.Error(got)
	}
	if got := run(t, s, out, "th.send.turn(root.robot)\nwait(th)\nsteps(th)"); !strings.Contains(got, "done\n\"done\"\n") || !strings.Contains(got, "ahead  done ") || !strings.Contains(got, "robot") {
		t.Error(got)
	}
}

func TestLsofShowsWhatAThreadMayStillUse(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	populate(t, s)
	ctx := context.Background()
	err := s.Runtime.Update(ctx, func(turn *sturdy.WriteTurn) error {
		r, err := s.Runtime.Root().Get(turn, "robot")
		turn.Spawn(send.To(r), sturdy.Domain{Meter: turn.NewMeter(sturdy.Budget{Turns: 1000, Time: time.Hour}, caps.Ref{})})
		return err
	})
	if _, failed := s.Runtime.Settle(ctx); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	got := regexp.MustCompile(`[ ]+`).ReplaceAllString(run(t, s, out, "lsof(ps()[0])"), " ")
	for _, want := range []string{
		`\nceiling domain \w+ - at most rwx of any object\n`,
		`\nmeter meter \w+ - 3 of 3 messages left\n`,
		`\nabove meter \w+ - 9\d\d of 1,000 turns, 3,[56]\d\d s of 3,600 s left\n`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestAMessageToAThreadSaysWhatIsKnownOfIt(t *testing.T) {
	s, out := begin(t, Options{Writable: true})
	populate(t, s, walk)
	run(t, s, out, `th = thread(ps()[0]); later = root.send.get("shelf").ref; put(root, "later", later)`)
	for src, want := range map[string]string{
		"th.send.turn":   "turn(…)   the thread waits for it; its program says what it takes",
		"th.send.hop":    "hop(…)   the thread waits for message turn; it receives this one when it asks for it; its program",
		"later.send.hop": "hop(…)   the promise does not say yet what it takes",
	} {
		if got := run(t, s, out, src); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q", src, got)
		}
	}
	err := s.Run(t.Context(), "test", "th.send.turn(5)") // the promise is broken, and it waits on
	if err == nil || errors.Is(err, sturdy.ErrTimeout) {
		t.Error(err)
	}
	if got := run(t, s, out, "ps()[0].waits"); got != "\"message turn\"\n" {
		t.Error(got)
	}
}
