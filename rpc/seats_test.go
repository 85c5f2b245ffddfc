package rpc

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"capnproto.org/go/capnp/v3"
	capnprpc "capnproto.org/go/capnp/v3/rpc"

	"github.com/sturdyrt/sturdy/caps"
)

// knock opens n connections to at that prove nothing, and returns what closes them.
func knock(t *testing.T, at string, n int) {
	t.Helper()
	for range n {
		raw, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
	}
}

// shows has the stranger l restore s, so that it is known.
func shows(t *testing.T, l *link, s caps.SturdyRef) []byte {
	t.Helper()
	r, err := l.call(t.Context(), request{op: opRestore, body: []byte(s.Reveal())})
	if err != nil {
		t.Fatal(err)
	}
	return r.slots[0]
}

// sits is how many seats are taken by those who are known, and by strangers.
func sits(n *Node) (known, strangers int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for s := range n.seats {
		if s.known {
			known++
		} else {
			strangers++
		}
	}
	return known, strangers
}

func TestStrangersKeepNoHonestClientOut(t *testing.T) {
	for name, flood := range map[string]func(*testing.T, *Node){
		"that prove nothing": func(t *testing.T, n *Node) { knock(t, n.Address(), 60) },
		"with keys": func(t *testing.T, n *Node) {
			for i := range 60 {
				barge(t, n, byte(100+i), echo)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			rt, n, mug := besieged(t, Options{Listen: "127.0.0.1:0", Limits: Limits{Connections: 8}})
			s, _, err := rt.Save(t.Context(), mug, caps.Terms{})
			if err != nil {
				t.Fatal(err)
			}
			flood(t, n)
			honest, m, _ := besieged(t, Options{})
			r, err := honest.Restore(t.Context(), s)
			if err != nil {
				t.Fatal("the honest one does not get in:", err)
			}
			over, _ := m.linked(rt.Host())
			flood(t, n)
			if got, err := mugAdd.Call(t.Context(), r, 1); got != 1 || err != nil {
				t.Error("the honest one is called away:", got, err)
			}
			if now, _ := m.linked(rt.Host()); now != over {
				t.Error("the honest one had to come again")
			}
			if known, strangers := sits(n); known != 1 || known+strangers > 8 {
				t.Errorf("%d are known, %d strangers", known, strangers)
			}
		})
	}
}

func TestThoseWhoAreKnownLeaveAQuarterToStrangers(t *testing.T) {
	rt, n, mug := besieged(t, Options{Listen: "127.0.0.1:0", Limits: Limits{Connections: 8}})
	s, _, err := rt.Save(t.Context(), mug, caps.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	var first *link
	for i := range 8 {
		l := barge(t, n, byte(i), echo)
		if shows(t, l, s); first == nil {
			first = l
		}
	}
	// All are known, and something is under way with each. The next finds no room before they rest.
	work := func(calls int) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for s := range n.seats {
			s.l.mu.Lock()
			s.l.load.running += calls
			s.l.mu.Unlock()
		}
	}
	work(1)
	raw, err := net.Dial("tcp", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := secure(t.Context(), raw, newIdentity(t, 50), false, "", Limits{}); err == nil {
		t.Error("let in, and everybody was busy")
	}
	work(-1)
	<-time.After(atRest)
	for i := range 4 {
		shows(t, barge(t, n, byte(60+i), echo), s)
	}
	<-first.done()
	if known, strangers := sits(n); known+strangers != 8 {
		t.Errorf("%d are known, %d strangers", known, strangers)
	}
}

// visit has a foreign program come and open s, so that it is known.
func visit(t *testing.T, n *Node, s caps.SturdyRef) *capnprpc.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", n.Address(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := capnprpc.NewConn(capnprpc.NewStreamTransport(conn), nil)
	t.Cleanup(func() { _ = c.Close() })
	host := c.Bootstrap(t.Context())
	defer host.Release()
	ans, release := host.SendCall(t.Context(), capnp.Send{
		Method:    capnp.Method{InterfaceID: 0xd0c5d9d8f0a1b7e1}, // Host.restore
		ArgsSize:  capnp.ObjectSize{PointerCount: 1},
		PlaceArgs: func(a capnp.Struct) error { return a.SetText(0, s.Reveal()) },
	})
	defer release()
	if _, err := ans.Struct(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAProgramThatIsKnownAndIdleGivesUpItsPlace as a host does.
func TestAProgramThatIsKnownAndIdleGivesUpItsPlace(t *testing.T) {
	rt, n, mug := besieged(t, Options{Listen: "127.0.0.1:0", Limits: Limits{Connections: 4}})
	s, _, err := rt.Save(t.Context(), mug, caps.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan bool, 4)
	for range 4 {
		c := visit(t, n, s)
		go func() {
			<-c.Done()
			gone <- true
		}()
	}
	rest := func() bool { // go-capnp finishes its calls a quarter of a second late
		n.mu.Lock()
		defer n.mu.Unlock()
		for s := range n.seats {
			if !s.rests() {
				return false
			}
		}
		return true
	}
	for late := time.Now().Add(20 * time.Second); !rest() && time.Now().Before(late); {
		<-time.After(10 * time.Millisecond)
	}
	shows(t, barge(t, n, 60, echo), s)
	<-gone
	if known, strangers := sits(n); known+strangers != 4 {
		t.Errorf("%d are known, %d strangers", known, strangers)
	}
}

func TestOneHostHasFewConnections(t *testing.T) {
	rt, n, mug := besieged(t, Options{Listen: "127.0.0.1:0"})
	s, _, err := rt.Save(t.Context(), mug, caps.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	var all []*link
	for range linksOfHost + 1 {
		l := barge(t, n, 7, echo)
		shows(t, l, s)
		all = append(all, l)
	}
	<-all[0].done()
	for i, l := range all[1:] {
		if l.err() != nil {
			t.Errorf("connection %d ended: %v", i+1, l.err())
		}
	}
}

// Where most come from, there the next one's place is taken.
func TestPlacesAreTakenWhereMostComeFrom(t *testing.T) {
	n := &Node{seats: map[*seat]bool{}, o: Options{Limits: Limits{Connections: 8}.withDefaults()}}
	here, there := netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("10.0.0.2/32")
	sits := func(from netip.Prefix, known bool, age int) *seat {
		s := &seat{from: from, known: known, came: time.Unix(int64(1000-age), 0)}
		n.seats[s] = true
		return s
	}
	sits(there, false, 9)
	oldest := sits(here, false, 8)
	sits(here, false, 7)
	if v := n.yields(there); v != oldest {
		t.Errorf("%+v", v)
	}
	clear(n.seats)
	sits(there, true, 9)
	oldest = sits(here, true, 8)
	for range 4 {
		sits(here, true, 7)
	}
	if v := n.yields(there); v != oldest {
		t.Errorf("%+v", v)
	}
	if v := n.yields(here); v != nil { // nobody rests, as nobody here has a link
		t.Errorf("%+v", v)
	}
}

func TestOrigin(t *testing.T) {
	for addr, want := range map[string]string{
		"10.1.2.3:4": "10.1.2.3/32", "[::ffff:10.1.2.3]:4": "10.1.2.3/32",
		"[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err == nil && origin(a).String() != want {
			t.Errorf("%s: %v", addr, origin(a))
		}
	}
	if p := origin(&net.UnixAddr{Name: "x"}); p.IsValid() {
		t.Error(p)
	}
}

// A host that has only ever sent letters is known as well.
func TestWhoSendsLettersIsKnown(t *testing.T) {
	rt, n, mug := besieged(t, Options{Listen: "127.0.0.1:0"})
	sender, m, _ := besieged(t, Options{Listen: "127.0.0.1:0"})
	token, err := rt.Export(t.Context(), mug, sender.Host())
	if err != nil {
		t.Fatal(err)
	}
	r, err := sender.Import(token, rt.Host(), n.Address())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mugAdd.Send(t.Context(), r, 1).Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	soon := func() { // what it sent may have its outcome before it is known who did
		for known := 0; known == 0 && t.Context().Err() == nil; known, _ = sits(n) {
			<-time.After(time.Millisecond)
		}
	}
	soon()
	if _, strangers := sits(n); strangers != 0 {
		t.Error("it is a stranger as well")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = Attach(sender, Options{}); err != nil { // and still is when it comes back, before it says anything
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if _, err := m.dial(t.Context(), n.Address(), rt.Host()); err != nil {
		t.Fatal(err)
	}
	soon()
}
