package caps

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dumbText is the grammar, as far as a regular expression can say it.
var dumbText = regexp.MustCompile(`^sturdy://[a-z2-7]{32}/[1-9a-f][0-9a-f]{0,15}` +
	`((?:/(?:rights=(?:none|r?w?x?s?)|only=[^/=]*|for=[^/=+]*|at=[^/=+]*|until=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)){0,16})/[a-z2-7]{32}$`)

// dumbParse says what ParseSturdyRef should, slowly.
func dumbParse(text string) bool {
	m := dumbText.FindStringSubmatch(text)
	if m == nil || len(text) > 2048 {
		return false
	}
	for _, caveat := range strings.Split(m[1], "/")[1:] {
		kind, rest, _ := strings.Cut(caveat, "=")
		switch kind {
		case "rights":
			if rest == "" {
				return false
			}
		case "until":
			if at, err := time.Parse("2006-01-02T15:04:05Z", rest); err != nil || at.Year() < 1970 || at.Equal(time.Unix(0, 0)) {
				return false
			}
		case "only":
			if !dumbNames(strings.Split(rest, "+")) {
				return false
			}
		case "for", "at":
			raw, _ := url.PathUnescape(rest)
			if !dumbNames([]string{rest}) || !dumbPrintable(raw) {
				return false
			}
		}
	}
	return true
}

// dumbPrintable asks how Go would quote s.
func dumbPrintable(s string) bool {
	plain := strings.NewReplacer("\\", "", `"`, "").Replace(s)
	return strconv.Quote(plain) == `"`+plain+`"`
}

func dumbNames(list []string) bool {
	for i, name := range list {
		raw, err := url.PathUnescape(name)
		if err != nil || raw == "" || len(raw) > 256 || i > 0 && name <= list[i-1] {
			return false
		}
		again := ""
		for _, c := range []byte(raw) {
			if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", rune(c)) {
				again += string(rune(c))
			} else {
				again += fmt.Sprintf("%%%02X", c)
			}
		}
		if again != name {
			return false
		}
	}
	return len(list) <= 64
}

// FuzzParseSturdyRef: what parses is the one text of its meaning, can be weakened, and keeps
// its tag to itself; what does not is refused by a second, simple parser, too.
func FuzzParseSturdyRef(f *testing.F) {
	f.Add(plainText)
	f.Add(weakText)
	f.Add(sealed(weakText).String())
	for _, caveats := range canonical() {
		f.Add("sturdy://" + hostName + "/1f" + caveats + "/" + someTag)
	}
	for _, caveat := range refusedCaveats() {
		f.Add("sturdy://" + hostName + "/1f/" + caveat + "/" + someTag)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSturdyRef(text)
		if dumb := dumbParse(text); dumb != (err == nil) {
			t.Fatalf("%q: %v, the twin says %v", text, err, dumb)
		}
		if err != nil {
			return
		}
		if s.Reveal() != text || s.Grant() == 0 || !strings.HasPrefix(text, fmt.Sprintf("sturdy://%s/%x/", s.Host(), s.Grant())) {
			t.Fatalf("%q: host %s, grant %x", text, s.Host(), s.Grant())
		}
		given := text[len(text)-32:]
		if shown := s.String(); strings.Contains(shown, given) && !strings.Contains(text[:len(text)-32], given) {
			t.Fatalf("%q shows its tag", text)
		}
		if _, err := ParseSturdyRef(s.String()); err == nil {
			t.Fatalf("%q parses redacted", text)
		}
		for _, weaker := range []SturdyRef{s.Attenuate(Read), s.Only(Action(text)), s.Until(time.Unix(1, 5))} {
			if weaker.IsZero() {
				continue // full
			}
			if again, err := ParseSturdyRef(weaker.Reveal()); err != nil || again.Reveal() != weaker.Reveal() {
				t.Fatalf("%q: %v", weaker.Reveal(), err)
			}
			if why := stronger(s, weaker); why != "" {
				t.Fatalf("%q became %q: %s", text, weaker.Reveal(), why)
			}
		}
	})
}
