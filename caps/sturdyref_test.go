package caps

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What follows was computed by another implementation.
const (
	plainText = "sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/aebagbafaydqqcikbmga2dqpcaireeyu"
	weakText  = "sturdy://mvtgo2djnjvwy3lon5yhc4ttor2xm53y/1f/rights=rs/only=a.b+caf%C3%A9+get/until=2026-12-01T00:00:00Z/4opai745nlit7lag3ziaulkhwypbficm"
	hostName  = "mvtgo2djnjvwy3lon5yhc4ttor2xm53y"
	someTag   = "aebagbafaydqqcikbmga2dqpcaireeyu"
)

// rootBytes are those of plainText.
func rootBytes() []byte {
	root := make([]byte, 20)
	for i := range root {
		root[i] = byte(i + 1)
	}
	return root
}

// dumbHost is a host that makes the root of a grant from its name, the number and a key.
type dumbHost struct{ name, key string }

func (h dumbHost) root(grant uint64) []byte {
	mac := hmac.New(sha256.New, []byte(h.key))
	mac.Write(binary.BigEndian.AppendUint64(nil, grant))
	return mac.Sum(nil)[:20]
}

func (h dumbHost) ref(grant uint64) SturdyRef {
	s, err := NewSturdyRef(h.name, grant, h.root(grant))
	check(err)
	return s
}

// opens is what a host does with a text.
func (h dumbHost) opens(text string) bool {
	s, err := ParseSturdyRef(text)
	return err == nil && s.Host() == h.name && s.Opens(h.root(s.Grant()))
}

func TestTextIsAsSpecified(t *testing.T) {
	s, err := NewSturdyRef(hostName, 0x1f, rootBytes())
	if err != nil || s.Reveal() != plainText {
		t.Fatalf("a new one: %v, %s", err, s.Reveal())
	}
	if s.Host() != hostName || s.Grant() != 0x1f || s.IsZero() || !s.Opens(rootBytes()) {
		t.Errorf("host %s, grant %x, zero %v", s.Host(), s.Grant(), s.IsZero())
	}
	until := time.Date(2026, 12, 1, 1, 0, 0, 999_999_999, time.FixedZone("one hour east", 3600))
	w := s.Attenuate(Read|Shallow).Only(Action("get"), Query[int]("café"), Command[int]("a.b"), Action("get")).Until(until)
	if w.Reveal() != weakText {
		t.Errorf("the weak one is %s", w.Reveal())
	}
	if w.Host() != hostName || w.Grant() != 0x1f || !w.Opens(rootBytes()) {
		t.Errorf("weakening changed the host, the grant or the root: %s", w)
	}
	a, terms := w.Narrow(Full())
	if a != (Authority{Rights: Read}) || fmt.Sprint(terms.Only) != "[a.b café get]" || !terms.Until.Equal(until.Truncate(time.Second)) || terms.Deep || terms.For != "" {
		t.Errorf("it narrows to %v, %v", a, terms)
	}
}

func TestEachRightsCaveatHasItsOwnText(t *testing.T) {
	seen := map[string]bool{}
	for to := range Rights(16) {
		s := sealed(plainText).Attenuate(to)
		seen[s.Reveal()] = true
		for _, a := range authorities() {
			if got, _ := s.Narrow(a); got != a.Attenuate(to) {
				t.Errorf("%s of %s: %s, not %s", s, a, got, a.Attenuate(to))
			}
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d texts", len(seen))
	}
}

// authorities are all there are without a gate.
func authorities() (list []Authority) {
	for r := range Rights(8) {
		list = append(list, Authority{Rights: r})
	}
	return append(list, Authority{Deep: true}, Authority{Rights: Read, Deep: true})
}

func TestParseTakesTheOneText(t *testing.T) {
	for _, caveats := range canonical() {
		text := "sturdy://" + hostName + "/1f" + caveats + "/" + someTag
		s, err := ParseSturdyRef(text)
		if err != nil || s.Reveal() != text {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, grant := range []string{"1", "9", "a", "f0", "ffffffffffffffff"} {
		if s, err := ParseSturdyRef("sturdy://" + hostName + "/" + grant + "/" + someTag); err != nil || fmt.Sprintf("%x", s.Grant()) != grant {
			t.Errorf("grant %s: %v, %x", grant, err, s.Grant())
		}
	}
}

func canonical() []string {
	return []string{
		"", "/rights=none", "/rights=s", "/rights=r", "/rights=rwxs", "/rights=wx", "/rights=rw/rights=r",
		"/rights=r/rights=r", "/only=a/only=a", // who weakens twice
		"/only=get", "/for=alice", "/for=ian%2C%20the%20intern", "/for=%C3%A9", "/for=" + strings.Repeat("a", 256), "/at=localhost%3A7070", "/at=%5B%3A%3A1%5D%3A7070/rights=r/at=a", "/only=%00", "/only=%2F+%C3%A9+-+.+..+0+A+_+a+aa", "/only=" + strings.Repeat("a", 256),
		"/only=" + strings.Repeat("%FF", 256), "/only=" + strings.Join(manyNames(64), "+"),
		"/until=1970-01-01T00:00:01Z", "/until=2024-02-29T23:59:59Z", "/until=9999-12-31T23:59:59Z",
		strings.Repeat("/rights=r", 16),
		strings.Repeat("/only="+strings.Repeat("a", 240), 7) + "/only=" + strings.Repeat("a", 2048-9-32-3-32-1-7*246-6),
	}
}

func manyNames(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("m%03d", i))
	}
	return list
}

func TestParseTakesNothingElse(t *testing.T) {
	frame := func(caveats string) string { return "sturdy://" + hostName + "/1f" + caveats + "/" + someTag }
	refused := []string{
		"", "sturdy://", "sturdy:///", "sturdy ref: none", strings.TrimSuffix(plainText, "u"), plainText + "a",
		plainText + "/", plainText + "//", plainText + " ", " " + plainText, plainText + "\n", plainText + "\x00",
		"\ufeff" + plainText, plainText + "=", plainText + "====", plainText + "?", plainText + "#", plainText + "?a=b",
		strings.ToUpper(plainText), strings.Replace(plainText, "sturdy", "Sturdy", 1), strings.Replace(plainText, "://", ":/", 1),
		strings.Replace(plainText, "sturdy:", "", 1), strings.Replace(plainText, "//", "///", 1), strings.Replace(plainText, "//", "//u@", 1),
		strings.Replace(plainText, "/1f/", "/1f//", 1), strings.Replace(plainText, "/1f/", "//1f/", 1),
		strings.Replace(plainText, "/1f/", ":80/1f/", 1), strings.Replace(plainText, "/1f/", "/", 1),
		strings.Replace(plainText, "mvtg", "mvtG", 1), strings.Replace(plainText, "mvtg", "mvt1", 1), strings.Replace(plainText, "mvtg", "mvt", 1),
		strings.Replace(plainText, "mvtg", "mvt%67", 1), strings.Replace(plainText, "mvtg", "mvtа", 1), // the last is Cyrillic
		strings.Replace(plainText, "aeba", "aeb0", 1), strings.Replace(plainText, "aeba", "aeb8", 1), strings.Replace(plainText, "aeba", "aeb=", 1),
		strings.Replace(plainText, "aeba", "ae\n\r", 1), strings.Replace(plainText, "aeba", "aeｂ", 1), strings.Replace(plainText, "aeba", "aéa", 1),
	}
	for _, grant := range []string{"", "0", "01", "00", "1F", "0x1f", "-1", "+1", "1_f", "g", " 1", "1 ", "1%66", "١", "１", "10000000000000000", "1ffffffffffffffff"} {
		refused = append(refused, strings.Replace(plainText, "/1f/", "/"+grant+"/", 1))
	}
	for _, caveat := range refusedCaveats() {
		refused = append(refused, frame("/"+caveat))
	}
	refused = append(refused, frame(strings.Repeat("/rights=r", 17)), frame("/rights=r/"),
		frame(strings.Repeat("/only="+strings.Repeat("a", 240), 7)+"/only="+strings.Repeat("a", 2049-9-32-3-32-1-7*246-6)))
	for _, text := range refused {
		s, err := ParseSturdyRef(text)
		if !errors.Is(err, ErrBadArgument) || !s.IsZero() {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func refusedCaveats() []string {
	return []string{
		"", "=", "rights", "rights=", "rights=wr", "rights=rr", "rights=sr", "rights=R", "rights=rwxsr", "rights=d", "rights=nones",
		"rights=rnone", "rights=None", "rights=r ", "rights=r=", "rights==r", "Rights=r", " rights=r", "rights=%72", "rights=г", "rights",
		"only", "only=", "only=+", "only=a+", "only=+a", "only=a++b", "only=b+a", "only=a+a", "only=a+b+a", "only=a b", "only=a,b", "only=a=b", "only=a%2",
		"only=a%", "only=a%zz", "only=a%ZZ", "only=a%2G", "only=a%_1", "only=a%-1", "only=a%+1", "only=a%41", "only=%61", "only=%c3%a9", "only=%C3%a9", "only=%5F", "only=%2f", "only=%cA", "only=%2E", "only=%2D", "only=é", "only=a\x00", "only=~", "only=a:b",
		"only=a;b", "only=\"a\"", "only=" + strings.Repeat("a", 257), "only=" + strings.Repeat("%FF", 257), "only=" + strings.Join(manyNames(65), "+"),
		"until=", "until=0", "until=1796083200", "until=1970-01-01T00:00:00Z", "until=1969-12-31T23:59:59Z", "until=0001-01-01T00:00:00Z", "until=0000-00-00T00:00:00Z",
		"until=2026-12-01T00:00:00", "until=2026-12-01T00:00:00z", "until=2026-12-01t00:00:00Z", "until=2026-12-01 00:00:00Z", "until=2026-12-01T00:00:00.5Z", "until=2026-12-01T00:00:00.0Z",
		"until=2026-12-01T00:00:00,0Z", "until=2026-12-01T00:00:00+00:00", "until=2026-12-01T01:00:00+01:00", "until=2026-12-01T0:00:00Z", "until=2026-12-01T24:00:00Z", "until=2026-12-01T23:59:60Z",
		"until=2026-02-29T00:00:00Z", "until=2026-13-01T00:00:00Z", "until=10000-01-01T00:00:00Z", "until=+2026-12-01T00:00:00Z", "until=2026-12-01T00%3A00%3A00Z", "until=2026-12-01T00:00:00Z ",
		"after=2026-12-01T00:00:00Z", "deep", "for=", "for", "for=a+b", "for=a b", "for=%0A", "for=%FF", "for=%E2%80%AE", "for=%61", "for=" + strings.Repeat("a", 257), someTag, "1f",
	}
}

func TestNewRefuses(t *testing.T) {
	for name, make := range map[string]func() (SturdyRef, error){
		"a short root":         func() (SturdyRef, error) { return NewSturdyRef(hostName, 1, rootBytes()[1:]) },
		"a long root":          func() (SturdyRef, error) { return NewSturdyRef(hostName, 1, make([]byte, 21)) },
		"no root":              func() (SturdyRef, error) { return NewSturdyRef(hostName, 1, nil) },
		"grant 0":              func() (SturdyRef, error) { return NewSturdyRef(hostName, 0, rootBytes()) },
		"no host":              func() (SturdyRef, error) { return NewSturdyRef("", 1, rootBytes()) },
		"a host in upper case": func() (SturdyRef, error) { return NewSturdyRef(strings.ToUpper(hostName), 1, rootBytes()) },
		"a host with more":     func() (SturdyRef, error) { return NewSturdyRef(hostName+"/1/rights=r", 1, rootBytes()) },
	} {
		if s, err := make(); !errors.Is(err, ErrBadArgument) || !s.IsZero() {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestTextIsACookieAndAURL(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	text := sealed(weakText).Only(Action(all)).Reveal()
	if bad := regexp.MustCompile(`[^!#-+\--:<-\[\]-~]`).FindString(text); bad != "" {
		t.Errorf("%q may not be in a cookie", bad)
	}
	u, err := url.Parse(text)
	if err != nil || u.String() != text || u.Host != hostName {
		t.Errorf("as a URL: %v, %v", err, u)
	}
	if _, terms := sealed(plainText).Only(Action(all)).Narrow(Full()); terms.Only[0].Name() != string(all) {
		t.Errorf("the name came back as %q", terms.Only[0].Name())
	}
}

func TestErrorsQuoteNothing(t *testing.T) {
	for i := range weakText {
		for _, c := range []string{"", "!", "ZZZ", "/"} {
			if _, err := ParseSturdyRef(weakText[:i] + c + weakText[i+1:]); err != nil {
				for _, word := range []string{"mvtgo", "4opai", "caf", "a.b", "ZZZ"} {
					if strings.Contains(err.Error(), word) {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

func TestForgedTextsDoNotOpen(t *testing.T) {
	h := dumbHost{hostName, "key"}
	other := dumbHost{"a" + hostName[1:], "another key"}
	full := h.ref(31)
	weak := full.Attenuate(Read).Only(Action("get"), Action("list")).Until(time.Unix(2_000_000_000, 0))
	parts := strings.Split(strings.TrimPrefix(weak.Reveal(), "sturdy://"), "/")
	join := func(parts ...string) string { return "sturdy://" + strings.Join(parts, "/") }
	host, grant, rights, only, until, last := parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]
	tagIn := func(s SturdyRef) string { return s.Reveal()[len(s.Reveal())-32:] }
	forged := map[string]string{
		"all caveats off":        join(host, grant, last),
		"the last off":           join(host, grant, rights, only, last),
		"the first off":          join(host, grant, only, until, last),
		"one in the middle off":  join(host, grant, rights, until, last),
		"two swapped":            join(host, grant, only, rights, until, last),
		"rights edited":          join(host, grant, "rights=rw", only, until, last),
		"a name added":           join(host, grant, rights, "only=get+list+put", until, last),
		"a name taken off":       join(host, grant, rights, "only=get", until, last),
		"a later time":           join(host, grant, rights, only, "until=2099-01-01T00:00:00Z", last),
		"two caveats merged":     join(host, grant, rights, only+until, last),
		"one doubled":            join(host, grant, rights, rights, only, until, last),
		"one added with no tag":  join(host, grant, rights, only, until, rights, last),
		"no tag":                 join(host, grant, rights, only, until),
		"another grant":          join(host, "20", rights, only, until, last),
		"another host":           join(other.name, grant, rights, only, until, last),
		"another grant's tag":    join(host, grant, tagIn(h.ref(32))),
		"another host's tag":     join(host, grant, tagIn(other.ref(31))),
		"an earlier tag":         join(host, grant, rights, only, until, tagIn(full.Attenuate(Read))),
		"the root's tag":         join(host, grant, rights, only, until, tagIn(full)),
		"a tag of zeros":         join(host, grant, strings.Repeat("a", 32)),
		"its redacted form":      weak.String(),
		"its redacted form, cut": strings.TrimSuffix(weak.String(), "/(secret)"),
	}
	for _, s := range []SturdyRef{full, weak} {
		if !h.opens(s.Reveal()) || other.opens(s.Reveal()) {
			t.Errorf("%s: its own host %v, another host %v", s, h.opens(s.Reveal()), other.opens(s.Reveal()))
		}
	}
	for name, text := range forged {
		if h.opens(text) || other.opens(text) {
			t.Errorf("%s opens: %s", name, text)
		}
	}
}

// TestNoOtherTextOpens: whichever byte of a text is replaced, taken out or put in.
func TestNoOtherTextOpens(t *testing.T) {
	h := dumbHost{hostName, "key"}
	text := h.ref(31).Attenuate(Read | Write).Only(Action("a b")).Reveal()
	for i := range len(text) + 1 {
		if i < len(text) && h.opens(text[:i]+text[i+1:]) {
			t.Errorf("opens without byte %d", i)
		}
		if h.opens(text[:i]) && i < len(text) {
			t.Errorf("opens cut after byte %d", i)
		}
		for c := range rune(256) {
			if i < len(text) && byte(c) != text[i] && h.opens(text[:i]+string([]byte{byte(c)})+text[i+1:]) {
				t.Errorf("opens with %q for byte %d", c, i)
			}
			if h.opens(text[:i] + string([]byte{byte(c)}) + text[i:]) {
				t.Errorf("opens with %q before byte %d", c, i)
			}
		}
	}
}

func TestGuessedTagsDoNotOpen(t *testing.T) {
	rnd := newRand(t)
	root, weak := rootBytes(), sealed(plainText).Attenuate(Read).Reveal()
	for i := range 1_000_000 {
		var guess tag
		for at := 0; at < tagBytes; at += 4 {
			binary.BigEndian.PutUint32(guess[at:], rnd.Uint32())
		}
		text := plainText
		if i%8 == 0 {
			text = weak
		}
		if sealed(text[:len(text)-32] + encodeTag(guess)).Opens(root) {
			t.Fatalf("%x opens", guess)
		}
	}
}

func TestOpensWithTheRootOnly(t *testing.T) {
	s := sealed(weakText)
	wrong := map[string][]byte{"nil": nil, "empty": {}, "one more": append(rootBytes(), 0), "one less": rootBytes()[:19]}
	for i := range 160 {
		flipped := rootBytes()
		flipped[i/8] ^= 1 << (i % 8)
		wrong[fmt.Sprint("bit ", i)] = flipped
	}
	for name, root := range wrong {
		if s.Opens(root) || sealed(plainText).Opens(root) {
			t.Errorf("%s opens", name)
		}
	}
	zeros, err := NewSturdyRef(hostName, 1, make([]byte, 20))
	if check(err); zeros.Opens(nil) || zeros.Opens(make([]byte, 19)) || (SturdyRef{}).Opens(make([]byte, 20)) || (SturdyRef{}).Opens(nil) {
		t.Error("no root is taken for one of zeros")
	}
}

func TestTagsAreBytes(t *testing.T) {
	rnd := newRand(t)
	for range 1000 {
		var in tag
		for i := range in {
			in[i] = byte(rnd.Uint32())
		}
		if text := encodeTag(in); !isBase32(text) || decodeTag(text) != in {
			t.Fatalf("%x is written %s", in, text)
		}
	}
}

// TestNextTagIsAnHMAC: the next tag is what the standard library says.
func TestNextTagIsAnHMAC(t *testing.T) {
	rnd := newRand(t)
	for length := range maxSturdy + 100 {
		var key tag
		for i := range key {
			key[i] = byte(rnd.Uint32())
		}
		caveat := strings.Repeat(string(rune('a'+length%26)), length)
		mac := hmac.New(sha256.New, key[:])
		mac.Write([]byte(caveat))
		if want := tag(mac.Sum(nil)[:20]); key.next(caveat) != want {
			t.Fatalf("after %d bytes", length)
		}
	}
}

func BenchmarkSturdyRef(b *testing.B) {
	for name, text := range map[string]string{"plain": plainText, "three caveats": weakText} {
		s, root := sealed(text), rootBytes()
		b.Run("Parse/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := ParseSturdyRef(text)
				check(err)
			}
		})
		b.Run("Opens/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !s.Opens(root) {
					b.Fatal("does not open")
				}
			}
		})
		b.Run("Narrow/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Narrow(Full())
			}
		})
	}
	b.Run("Attenuate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sealed(plainText).Attenuate(Read)
		}
	})
}
