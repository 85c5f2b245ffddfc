package sturdy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sturdyrt/sturdy/caps"
	sturdy "github.com/sturdyrt/sturdy/runtime"
)

const base32Letters = "abcdefghijklmnopqrstuvwxyz234567"

// closed fails the test if a text opens anything, or says more than that it does not.
func (s *shelf) closed(what, text string) {
	s.t.Helper()
	parsed, err := caps.ParseSturdyRef(text)
	if err != nil {
		if !errors.Is(err, caps.ErrBadArgument) {
			s.t.Errorf("%s: %v", what, err)
		}
		return
	}
	ref, err := s.Restore(s.t.Context(), parsed)
	if !errors.Is(err, caps.ErrRevoked) && !errors.Is(err, caps.ErrNotDelivered) || !ref.IsNull() {
		s.t.Errorf("%s: opens %v, %v", what, ref, err)
	}
}

func TestAMillionGuessesOpenNothing(t *testing.T) {
	s := fastShelf(t)
	chance := rand.New(rand.NewPCG(seedOf(t), 3))
	text, _ := s.save(s.account, caps.Terms{For: "target"})
	head, right := cutTag(text)
	guess := []byte(right)
	for i := range ops(1_000_000) {
		for n := range 1 + i%3 { // few letters changed, or all
			guess[(i+n)%32] = base32Letters[chance.IntN(32)]
		}
		if string(guess) == right {
			continue
		}
		parsed, err := caps.ParseSturdyRef(head + string(guess))
		must(t, err)
		if ref, err := s.Restore(t.Context(), parsed); err == nil || !ref.IsNull() {
			t.Fatalf("guess %d opens %v", i, ref)
		}
	}
	s.restore(text, "")
}

func cutTag(text caps.SturdyRef) (head, tag string) {
	reveal := text.Reveal()
	return reveal[:len(reveal)-32], reveal[len(reveal)-32:]
}

func TestATextWithAnyBitChangedOpensNothing(t *testing.T) {
	s := fastShelf(t)
	text, _ := s.save(s.account, caps.Terms{For: "target"})
	weak := text.Attenuate(caps.Read).Only(acGet, acAdd).Until(s.Now().Add(time.Hour))
	for _, of := range []string{text.Reveal(), weak.Reveal()} {
		s.restore(parsed(t, of), "")
		for i := range len(of) {
			for bit := range 8 {
				b := []byte(of)
				b[i] ^= 1 << bit
				s.closed(fmt.Sprintf("bit %d of byte %d", bit, i), string(b))
			}
			s.closed(fmt.Sprintf("without byte %d", i), of[:i]+of[i+1:])
			s.closed(fmt.Sprintf("byte %d twice", i), of[:i]+of[i:i+1]+of[i:])
			s.closed(fmt.Sprintf("upper case at %d", i), changed(of, i, strings.ToUpper(of[i:i+1])))
			for _, alike := range []string{"а", "ο", "ⅼ", "１", "\u200b" + of[i:i+1], "%" + fmt.Sprintf("%02X", of[i]), "\x00"} {
				s.closed(fmt.Sprintf("%q at %d", alike, i), changed(of, i, alike))
			}
		}
		for _, pad := range []string{" ", "\n", "=", "/", "\x00", "?", "#", "\ufeff", "a"} {
			s.closed("padded behind", of+pad)
			s.closed("padded in front", pad+of)
		}
		s.closed("upper case", strings.ToUpper(of))
	}
}

func changed(s string, i int, to string) string {
	if s[i:i+1] == to {
		return "same"
	}
	return s[:i] + to + s[i+1:]
}

func parsed(t *testing.T, text string) caps.SturdyRef {
	t.Helper()
	p, err := caps.ParseSturdyRef(text)
	must(t, err)
	return p
}

// Whoever has some texts puts together others of their parts.
func TestTextsArePutTogetherInVain(t *testing.T) {
	s := fastShelf(t)
	revoked, g := s.save(s.account, caps.Terms{For: "revoked"})
	s.revoke(g)
	var texts []caps.SturdyRef
	for i := range 3 {
		text, _ := s.save(s.account, caps.Terms{For: fmt.Sprint(i)})
		texts = append(texts, text, text.Attenuate(caps.Read), text.Only(acGet), text.Only(acGet).Attenuate(caps.Read))
	}
	texts = append(texts, revoked)
	whole := map[string]bool{}
	for _, text := range texts {
		whole[text.Reveal()] = true
	}
	for _, a := range texts {
		head, _ := cutTag(a)
		for _, b := range texts {
			_, tag := cutTag(b)
			if !whole[head+tag] {
				s.closed("the tag of another text", head+tag)
			}
		}
		// A caveat is taken off, and put in another place.
		parts := strings.Split(a.Reveal(), "/")
		for i := 4; i < len(parts)-1; i++ {
			without := append(append([]string{}, parts[:i]...), parts[i+1:]...)
			s.closed("without a caveat", strings.Join(without, "/"))
		}
		if len(parts) == 7 {
			parts[4], parts[5] = parts[5], parts[4]
			s.closed("caveats in another order", strings.Join(parts, "/"))
		}
	}
	_, tag := cutTag(texts[0])
	parts := strings.Split(texts[0].Reveal(), "/")
	for n := range uint64(40) { // the root, the ledger, accounts, folders, grants, nothing
		parts[3] = fmt.Sprintf("%x", n)
		if text := strings.Join(parts, "/"); !whole[text] {
			s.closed("the number "+parts[3], text)
		}
		for _, rest := range []string{strings.Repeat("a", 32), tag} {
			s.closed("the number of nothing", strings.Join(append(append([]string{}, parts[:3]...), fmt.Sprintf("ffffffffffffff%02x", n), rest), "/"))
		}
	}
	for _, text := range texts[:12] {
		s.restore(text, "")
	}
}

func TestALostTextOpensNothingThatComesLater(t *testing.T) {
	s := fastShelf(t)
	ctx := t.Context()
	for range 3 {
		s.Disk().Hook(func(string, string, int) (int, error) { return 0, errors.New("the cable is out") })
		lost, _, err := s.Save(sturdy.Relaxed(ctx), s.folder, caps.Terms{For: "lost"})
		must(t, err)
		weak := lost.Attenuate(caps.Read)
		s.Crash()
		s.account, s.folder = s.get("account"), s.get("folder")
		for i := range 10 {
			_, _ = s.save(s.account, caps.Terms{For: fmt.Sprint(i)})
		}
		s.restore(lost, caps.ErrRevoked)
		s.restore(weak, caps.ErrRevoked)
	}
}

func TestNamesThatLookLikeOthersInACaveatAreNotThem(t *testing.T) {
	s := fastShelf(t)
	text, _ := s.save(s.account, caps.Terms{For: "target"})
	s.open(s.restore(text.Only(acGet, acAdd), ""), "")
	for _, names := range [][]caps.Named{
		{caps.Action("add\x00get")},
		{caps.Action("add,get")},
		{caps.Action("add+get")},
		{caps.Action("add%2Bget")},
		{caps.Action("gеt")},
		{caps.Action("GET")},
		{caps.Action("get ")},
		{caps.Action("only=get")},
		{caps.Action("*")},
		{caps.Action("get/rights=rwx")},
	} {
		ref, err := s.Restore(t.Context(), text.Only(names...))
		if err != nil {
			continue
		}
		if _, err := acGet.Call(t.Context(), ref); !errors.Is(err, caps.ErrNoMethod) {
			t.Errorf("Only(%q) gives get: %v", names[0].Name(), err)
		}
	}
}

func TestTextsBeyondTheLimitsAreRefusedCleanly(t *testing.T) {
	s := fastShelf(t)
	text, _ := s.save(s.account, caps.Terms{For: "target"})
	var names []caps.Named
	for i := range 70 {
		names = append(names, caps.Action(fmt.Sprintf("m%02d", i)))
	}
	if !text.Only(names...).IsZero() {
		t.Error("70 methods fit into a text")
	}
	deep := text
	for i := range 20 {
		deep = deep.Until(s.Now().Add(time.Hour * time.Duration(100-i)))
	}
	if !deep.IsZero() {
		t.Error("20 caveats fit into a text")
	}
	if !text.Only(caps.Action(strings.Repeat("x", 1900))).IsZero() {
		t.Error("a name of 1,900 bytes fits into a text")
	}
	long := text
	for i := range 7 { // about as long as there are: it is judged, and no more
		long = long.Only(append([]caps.Named{acGet}, names[i%2:60+i%2]...)...)
	}
	s.closed("a text of two kilobytes with another tag", tampered(t, long).Reveal())
	s.closed("four kilobytes", text.Reveal()+strings.Repeat("a", 4096))
	if _, err := s.Restore(t.Context(), caps.SturdyRef{}); !errors.Is(err, caps.ErrNull) {
		t.Error(err)
	}
}

func TestWhoHoldsATextCannotFillTheWorldWithWeakerOnes(t *testing.T) {
	s := fastShelf(t)
	text, _ := s.save(s.account, caps.Terms{For: "target"})
	objects := func() (n int64) {
		ks, err := s.Kinds(t.Context())
		must(t, err)
		for _, k := range ks {
			n += k.Objects
		}
		return n
	}
	before, made := objects(), 0
	for i := range 1100 {
		_, err := s.Restore(sturdy.Relaxed(t.Context()), text.Until(s.Now().Add(time.Hour+time.Duration(i)*time.Second)))
		switch {
		case err == nil:
			made++
		case !errors.Is(err, caps.ErrOverloaded):
			t.Fatal(err)
		}
	}
	must(t, s.Sync(t.Context()))
	if made != 1000 || objects() > before+1000 {
		t.Errorf("%d weaker texts were opened, %d objects made", made, objects()-before)
	}
	for i := range 100_000 / 100 { // beside that, guessing and repeating makes nothing
		_, _ = s.Restore(t.Context(), tampered(t, text.Until(s.Now().Add(time.Duration(i+1)*time.Minute))))
		s.restore(text.Attenuate(caps.Rights(i)), "")
		s.restore(text.Until(s.Now().Add(time.Hour)), "")
	}
	must(t, s.Sync(t.Context()))
	if objects() != before+1000 {
		t.Errorf("%d objects were made", objects()-before)
	}
	s.open(s.restore(text, ""), "")
}
