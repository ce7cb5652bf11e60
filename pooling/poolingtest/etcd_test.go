package poolingtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The same requests go to an Etcd and to a real etcd 3.4, and the answers must be the same: statuses, bodies
// byte for byte, headers. Only indexes are counted from where each began, and times are left out.

type reply2 struct {
	Status int
	Index  string // X-Etcd-Index
	Body   string
}

// api is one of the two.
type api struct {
	t        testing.TB
	url      string
	user     string
	password string
	base     uint64
}

func store(t testing.TB) (*api, *Server) {
	s, err := NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	a := &api{t: t, url: s.URL}
	a.begin()
	return a, s
}

func real34(t testing.TB) *api {
	a := &api{t: t, url: StartEtcd(t)}
	a.begin()
	return a
}

// begin counts indexes from now. A quorum read comes after all that etcd has to say about itself; it logs its version
// just before it writes it down.
func (a *api) begin() {
	_, header, _ := a.raw("GET", "/", "quorum=true", "")
	a.base, _ = strconv.ParseUint(header.Get("X-Etcd-Index"), 10, 64)
}

func (a *api) raw(method, path, query, form string) (int, http.Header, string) {
	a.t.Helper()
	target := a.url + "/v2/keys" + path
	if query != "" {
		target += "?" + query
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form))
	if err != nil {
		a.t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if a.user != "" {
		req.SetBasicAuth(a.user, a.password)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

var (
	indexes = regexp.MustCompile(`"(modifiedIndex|createdIndex|index)":([0-9]+)`)
	causes  = regexp.MustCompile(`\[([0-9]+)( != |/)([0-9]+)\]`)
	unique  = regexp.MustCompile(`/0[0-9]{19}`)
	times   = regexp.MustCompile(`"expiration":"[^"]*"`)
	lefts   = regexp.MustCompile(`"ttl":[0-9]+([0-9]{2})`)
)

func (a *api) do(method, path, query, form string) reply2 {
	a.t.Helper()
	// i:N in a request is an index counted from where this one began
	own := regexp.MustCompile(`i:([0-9]+)`)
	mine := func(s string) string {
		return own.ReplaceAllStringFunc(s, func(m string) string {
			n, _ := strconv.ParseUint(m[2:], 10, 64)
			return strconv.FormatUint(n+a.base, 10)
		})
	}
	status, header, body := a.raw(method, path, mine(query), mine(form))
	count := func(s string) string {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || n < a.base || n == 0 {
			return s
		}
		return "i" + strconv.FormatUint(n-a.base, 10)
	}
	body = indexes.ReplaceAllStringFunc(body, func(m string) string {
		sub := indexes.FindStringSubmatch(m)
		return `"` + sub[1] + `":` + count(sub[2])
	})
	body = causes.ReplaceAllStringFunc(body, func(m string) string {
		sub := causes.FindStringSubmatch(m)
		return "[" + count(sub[1]) + sub[2] + count(sub[3]) + "]"
	})
	body = unique.ReplaceAllStringFunc(body, func(m string) string {
		n, _ := strconv.ParseUint(m[1:], 10, 64)
		return "/" + count(strconv.FormatUint(n, 10))
	})
	body = times.ReplaceAllString(body, `"expiration":"T"`)
	body = lefts.ReplaceAllString(body, `"ttl":T`) // a second may have passed
	index := count(header.Get("X-Etcd-Index"))
	if header.Get("X-Etcd-Index") == "0" {
		index = "zero" // a request that was not even looked at
		body = strings.Replace(body, `"index":0`, `"index":zero`, 1)
	}
	return reply2{status, index + " " + header.Get("Content-Type") + header.Get("Allow") + header.Get("Location"), body}
}

type exchange struct{ method, path, query, form string }

// script is every behaviour that something relies on, once. TestScript compares the answers of both.
var script = []exchange{
	{"GET", "", "", ""},
	{"GET", "/", "", ""},
	{"GET", "/none", "", ""},
	{"GET", "/none/of/these", "", ""},
	{"PUT", "/a/b/c", "", "value=1"},
	{"PUT", "/a/b/c", "", "value=2"},
	{"GET", "/a", "", ""},
	{"GET", "/a", "recursive=true", ""},
	{"GET", "/a", "recursive=true&quorum=true&sorted=true", ""},
	{"HEAD", "/a", "", ""},
	{"GET", "/a/", "", ""},
	{"GET", "/a/b/c/", "", ""},
	{"GET", "//a", "", ""},
	{"GET", "/a/../b", "", ""},
	{"GET", "/a/%2e%2e/b", "", ""},
	{"PUT", "/a/x%2Fy", "", "value=1"},
	{"GET", "/a/b/c/d", "", ""},
	{"PUT", "/a/b/c/d", "", "value=2"},
	{"PUT", "/a/b", "", "value=2"},
	{"PUT", "/", "", "value=2"},
	{"PUT", "/", "", "value=2&prevExist=true"},
	{"PUT", "/", "", "value=2&prevIndex=1"},
	{"DELETE", "/", "recursive=true", ""},
	{"PUT", "/a/b/c", "", "value=3&prevExist=true&prevIndex=i:1"},
	{"PUT", "/a/b/c", "", "value=3&prevExist=true&prevIndex=i:2"},
	{"PUT", "/a/b/c", "", "value=3&prevExist=false"},
	{"PUT", "/a/b/c", "", "value=3&prevValue=x"},
	{"PUT", "/a/b/c", "", "value=3&prevValue=x&prevIndex=i:1"},
	{"PUT", "/a/b/c", "", "value=4&prevValue=3"},
	{"PUT", "/a/b/c", "", "value=4&prevValue="},
	{"PUT", "/a/b/c", "", "value=5&prevExist=true&prevIndex=0"},
	{"PUT", "/a/b/c", "value=6&prevExist=true", ""},
	{"PUT", "/a/b/c", "value=6&prevExist=false", "prevExist=true&value=7"},
	{"PUT", "/a/b", "", "value=5&prevIndex=i:1"},
	{"PUT", "/a/b/z", "", "value=4&prevExist=true&prevIndex=i:3"},
	{"PUT", "/a/b/z", "", "value=4&prevExist=true"},
	{"PUT", "/a/b/z", "", "value=4&prevIndex=abc"},
	{"PUT", "/a/b/z", "", "value=4&prevIndex=-1"},
	{"PUT", "/a/b/z", "", "value=4&prevExist=maybe"},
	{"PUT", "/a/b/z", "", "value=4&ttl=abc"},
	{"PUT", "/a/b/z", "", "value=4&recursive=2"},
	{"PUT", "/a/b/z", "", "value=4&wait=true"},
	{"PUT", "/a/b/z", "", "value=%zz"},
	{"PUT", "/a/b/z", "", "value=4&noValueOnSuccess=maybe"},
	{"PUT", "/a/b/z", "", "value=4&noValueOnSuccess=true"},
	{"PUT", "/a/b/z", "", "value=4&ttl=100"},
	{"PUT", "/a/b/z", "", "ttl=200&refresh=true&prevExist=true"},
	{"PUT", "/a/b/z", "", "ttl=300&refresh=true&prevIndex=i:1"},
	{"PUT", "/a/b/z", "", "ttl=300&refresh=true"},
	{"PUT", "/a/b/z", "", "ttl=200&refresh=true&value=x"},
	{"PUT", "/a/b/z", "", "refresh=true"},
	{"PUT", "/a/b/y", "", "refresh=true&ttl=100"},
	{"PUT", "/a/b/y", "", "refresh=true&ttl=100&prevExist=false"},
	{"PUT", "/a/b/y", "", "value=permanent&prevExist=true"},
	{"GET", "/a/b", "recursive=true&sorted=true", ""},
	{"PUT", "/d", "", "dir=true"},
	{"PUT", "/d", "", "dir=true"},
	{"PUT", "/d", "", "dir=true&prevExist=true&ttl=60"},
	{"PUT", "/d", "", "dir=true&prevExist=true&value=x"},
	{"GET", "/d", "", ""},
	{"DELETE", "/d", "", ""},
	{"DELETE", "/d", "dir=true", ""},
	{"PUT", "/a/b/c", "", "dir=true"},
	{"DELETE", "/a", "dir=true", ""},
	{"DELETE", "/a/b/z", "prevIndex=i:1", ""},
	{"DELETE", "/a/b/y", "prevValue=permanent", ""},
	{"DELETE", "/a/b", "prevIndex=i:1", ""},
	{"DELETE", "/none", "", ""},
	{"POST", "/q", "", "value=1"},
	{"POST", "/q", "", "value=2&ttl=500"},
	{"PATCH", "/q", "", "value=2"},
	{"PUT", "/_h/x", "", "value=hidden"},
	{"PUT", "/v/_h", "", "value=hidden"},
	{"GET", "/v", "recursive=true", ""},
	{"GET", "/v/_h", "", ""},
	{"PUT", "/e", "", "value="},
	{"PUT", "/utf", "", "value=%ff%3c%26%e2%80%a8"},
	{"GET", "/a", "wait=true&recursive=true&waitIndex=i:1", ""},
	{"GET", "/a/b/c", "wait=true&waitIndex=i:2", ""},
	{"GET", "/a/b", "wait=true&waitIndex=i:1&recursive=true", ""},
	{"GET", "/a", "wait=true&waitIndex=abc", ""},
	{"GET", "/a", "wait=maybe", ""},
	{"DELETE", "/a", "recursive=true", ""},
	{"GET", "/a/b/other", "wait=true&waitIndex=i:1", ""},
	{"GET", "/d", "wait=true&waitIndex=i:1&recursive=true", ""},
	{"GET", "/", "recursive=true&sorted=true", ""},
}

// Seen to fail with: a directory's modifiedIndex moved by its update; set that is not 201 for a new key; a deleted directory
// not told to who watches below it.
func TestScript(t *testing.T) {
	theirs := real34(t)
	ours, _ := store(t)
	for i, x := range script {
		want, got := theirs.do(x.method, x.path, x.query, x.form), ours.do(x.method, x.path, x.query, x.form)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("request %d, %s %s?%s %s (-etcd +store):\n%s", i, x.method, x.path, x.query, x.form, diff)
		}
	}
}

// TestRandomRequests is the script's supplement: what nobody thought of. Seen to fail with: compare-and-set that
// renews createdIndex; set that keeps it; hidden keys listed; the first missing part of a path not named.
func TestRandomRequests(t *testing.T) {
	theirs := real34(t)
	rapid.Check(t, func(rt *rapid.T) {
		theirs.raw("DELETE", "/r", "recursive=true", "")
		theirs.begin()
		ours, s := store(t)
		defer func() { _ = s.Close() }()
		path := rapid.SampledFrom([]string{"/r/a", "/r/b", "/r/a/x", "/r/a/y", "/r/_h", "/r/a/_h/z", "/r"})
		text := rapid.SampledFrom([]string{"", "1", "2", `{"a": 1}`})
		n := rapid.IntRange(1, 12).Draw(rt, "requests")
		for i := range n {
			method := rapid.SampledFrom([]string{"GET", "PUT", "PUT", "PUT", "PUT", "DELETE", "WAIT"}).Draw(rt, "method")
			p := path.Draw(rt, "path")
			v := url.Values{}
			maybe := func(name string, values ...string) {
				if rapid.IntRange(0, 3).Draw(rt, name+"?") == 0 {
					v.Set(name, rapid.SampledFrom(values).Draw(rt, name))
				}
			}
			switch method {
			case "PUT":
				v.Set("value", text.Draw(rt, "value"))
				maybe("prevExist", "true", "false")
				maybe("prevIndex", "i:1", "i:2", "i:3", "i:4", "0")
				maybe("prevValue", "1", "2")
				maybe("dir", "true", "false")
				maybe("ttl", "100", "1000")
				maybe("refresh", "true", "false")
			case "DELETE":
				maybe("dir", "true")
				maybe("recursive", "true")
				maybe("prevIndex", "i:1", "i:2", "i:3")
				maybe("prevValue", "1", "2")
			case "GET":
				v.Set("sorted", "true")
				maybe("recursive", "true")
				maybe("quorum", "true")
			case "WAIT":
				// only for what has happened; that is the deletion of the directory above if nothing else
				method, v = "GET", url.Values{"wait": {"true"}, "waitIndex": {"i:1"}, "recursive": {"true"}}
				p = "/r"
				if _, ok := firstVisible(s.Etcd); !ok {
					continue
				}
			}
			query, form := plainQuery(v), ""
			if method == "PUT" {
				query, form = "", query
			}
			want, got := theirs.do(method, p, query, form), ours.do(method, p, query, form)
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("request %d, %s %s?%s %s (-etcd +store):\n%s", i, method, p, query, form, diff)
			}
		}
	})
}

// plainQuery encodes all but the colon of i:N.
func plainQuery(v url.Values) string { return strings.ReplaceAll(v.Encode(), "i%3A", "i:") }

// firstVisible reports whether a watch of /r from the beginning finds anything.
func firstVisible(s *Etcd) (event, bool) {
	s.lock()
	defer s.mu.Unlock()
	w, no := s.watch(query{path: "/r", recursive: true, waitIndex: 1})
	if no != nil {
		return event{}, false
	}
	delete(s.watchers, w)
	select {
	case ev := <-w.got:
		return ev, true
	default:
		return event{}, false
	}
}

// both runs a test against a store and a real etcd.
func both(t *testing.T, test func(t *testing.T, a *api)) {
	t.Run("store", func(t *testing.T) { a, _ := store(t); test(t, a) })
	t.Run("etcd 3.4", func(t *testing.T) { test(t, real34(t)) })
}

// TestLongPolls waits for what has not happened yet. Seen to fail with: refreshes told; the creation by a refresh not told;
// hidden keys told; the removal of a directory not told to who watches below it.
func TestLongPolls(t *testing.T) {
	both(t, func(t *testing.T, a *api) {
		a.do("PUT", "/w/a", "", "value=1")
		for _, c := range []struct {
			path, query string
			do          []exchange
			want        string // of the event: action and key
		}{
			{"/w", "recursive=true", []exchange{{"PUT", "/other", "", "value=1"}, {"PUT", "/w/a", "", "value=2"}},
				`{"action":"set","node":{"key":"/w/a"`},
			{"/w", "", []exchange{{"PUT", "/w/a", "", "value=3"}, {"PUT", "/w/n/m", "", "value=4"}, {"DELETE", "/w", "recursive=true", ""}},
				`{"action":"delete","node":{"key":"/w"`},
			{"/w/x", "", []exchange{{"PUT", "/w/x/y", "", "value=3"}, {"PUT", "/w/x", "", "dir=true&prevExist=true"}},
				`{"action":"update","node":{"key":"/w/x"`},
			{"/w/x/y", "", []exchange{{"DELETE", "/w", "recursive=true", ""}}, `{"action":"delete","node":{"key":"/w"`},
			{"/w", "recursive=true", []exchange{{"PUT", "/w/_hidden", "", "value=1"}, {"PUT", "/w/open", "", "value=1"}},
				`{"action":"set","node":{"key":"/w/open"`},
			{"/w/_hidden", "", []exchange{{"PUT", "/w/_hidden", "", "value=1"}}, `{"action":"set","node":{"key":"/w/_hidden"`},
			{"/w", "recursive=true", []exchange{{"PUT", "/w/t", "", "ttl=100&value=1"}}, `{"action":"set","node":{"key":"/w/t"`},
			{"/w", "recursive=true", []exchange{{"PUT", "/w/new", "", "ttl=100&refresh=true&prevExist=false"}},
				`{"action":"create","node":{"key":"/w/new"`},
			{"/w", "recursive=true", []exchange{{"PUT", "/w/t", "", "ttl=100&refresh=true"}, {"DELETE", "/w/t", "prevValue=1", ""}},
				`{"action":"compareAndDelete","node":{"key":"/w/t"`},
		} {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			req, err := http.NewRequestWithContext(ctx, "GET", a.url+"/v2/keys"+c.path+"?wait=true&"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req) // returns with the headers: then the watch is in place
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range c.do {
				a.do(x.method, x.path, x.query, x.form)
			}
			line, err := bufio.NewReader(resp.Body).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, c.want) {
				t.Errorf("watch of %s?%s: got %q, %v; want %s", c.path, c.query, line, err, c.want)
			}
			resp.Body.Close()
			cancel()
		}
	})
}

// TestHistory goes beyond what is kept.
func TestHistory(t *testing.T) {
	var replies []reply2
	both(t, func(t *testing.T, a *api) {
		for i := range maxHistory + 10 {
			if status, _, body := a.raw("PUT", "/h", "", fmt.Sprint("value=", i)); status >= 400 {
				t.Fatal(body)
			}
		}
		for _, from := range []string{"i:1", "i:10", "i:11", "i:12", "i:1010"} {
			replies = append(replies, a.do("GET", "/h", "wait=true&waitIndex="+from, ""))
		}
	})
	if len(replies) == 10 {
		if diff := cmp.Diff(replies[5:], replies[:5]); diff != "" {
			t.Errorf("-etcd +store:\n%s", diff)
		}
	}
}

// TestExpiry lets time pass: for the store by its clock, for etcd really.
func TestExpiry(t *testing.T) {
	play := func(a *api, ttl int, pass func()) (all []reply2) {
		short := fmt.Sprint("value=1&ttl=", ttl)
		do := func(method, path, query, form string) { all = append(all, a.do(method, path, query, form)) }
		do("PUT", "/t/gone", "", short)
		do("PUT", "/t/dir", "", "dir=true&"+short[8:])
		do("PUT", "/t/dir/in", "", "value=2")
		do("PUT", "/t/kept", "", short)
		do("PUT", "/t/kept", "", "refresh=true&ttl=1000&prevIndex=i:4")
		do("PUT", "/t/lasts", "", short)
		do("PUT", "/t/lasts", "", "value=2&prevExist=true")
		pass()
		do("GET", "/t", "recursive=true&sorted=true", "")
		do("GET", "/t/gone", "", "")
		do("GET", "/t", "wait=true&recursive=true&waitIndex=i:8", "")
		do("GET", "/t/dir/in", "wait=true&waitIndex=i:4", "")
		do("PUT", "/t/gone", "", "value=3&prevExist=false")
		return all
	}
	theirs := real34(t)
	var want []reply2
	ttl := 2
	for slow := true; slow && ttl <= 16; ttl *= 2 { // on a busy machine something may expire too early
		theirs.raw("DELETE", "/t", "recursive=true", "")
		theirs.begin()
		began := time.Now()
		want = play(theirs, ttl, func() {
			slow = time.Since(began) > time.Duration(ttl)*time.Second*3/4
			// the second expiry is the last thing to happen
			theirs.raw("GET", "/t", "wait=true&recursive=true&waitIndex="+strconv.FormatUint(theirs.base+9, 10), "")
		})
	}
	a, s := store(t)
	got := play(a, ttl/2, func() { s.Etcd.Advance(time.Duration(ttl) * time.Second) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-etcd +store:\n%s", diff)
	}
}

// TestExpiryByItself: time passes without Advance, for a request and for a watch that waits. Seen to fail with expiry at
// Advance alone.
func TestExpiryByItself(t *testing.T) {
	a, s := store(t)
	a.do("PUT", "/t/a", "", "value=1&ttl=100")
	a.do("PUT", "/t/b", "", "value=1&ttl=101")
	s.Etcd.mu.Lock()
	s.Etcd.ahead = 100 * time.Second
	s.Etcd.mu.Unlock()
	if got := a.do("GET", "/t/a", "", ""); got.Status != http.StatusNotFound {
		t.Errorf("a request: %+v", got)
	}
	if got := a.do("GET", "/t/b", "wait=true", ""); !strings.HasPrefix(got.Body, `{"action":"expire","node":{"key":"/t/b"`) {
		t.Errorf("a watch: %+v", got)
	}
}

// TestAuth: etcd answers a wrong password, and any write if guests may not, with 401 and errorCode 110.
func TestAuth(t *testing.T) {
	a, s := store(t)
	s.Etcd.User, s.Etcd.Password = "root", "pw"
	theirs := real34(t)
	for _, x := range []struct{ method, path, body string }{
		{"PUT", "/v2/auth/users/root", `{"user":"root","password":"pw"}`},
		{"PUT", "/v2/auth/enable", ""},
		{"PUT", "/v2/auth/roles/guest", `{"role":"guest","revoke":{"kv":{"read":["/*"],"write":["/*"]}}}`},
	} {
		req, err := http.NewRequest(x.method, theirs.url+x.path, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth("root", "pw")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode >= 300 {
			t.Fatalf("%s: %s", x.path, resp.Status)
		}
	}
	theirs.user, theirs.password = "root", "pw"
	theirs.begin()
	for _, c := range []struct{ user, password string }{{"", ""}, {"root", "wrong"}, {"nobody", "pw"}, {"root", "pw"}} {
		for _, x := range []exchange{{"PUT", "/x", "", "value=1"}, {"GET", "/x", "", ""}, {"PUT", "/x", "", "ttl=abc"}} {
			a.user, a.password = c.user, c.password
			theirs.user, theirs.password = c.user, c.password
			if diff := cmp.Diff(theirs.do(x.method, x.path, x.query, x.form), a.do(x.method, x.path, x.query, x.form)); diff != "" {
				t.Errorf("%s of %q (-etcd +store):\n%s", x.method, c.user, diff)
			}
		}
	}
}

func TestReadOnly(t *testing.T) {
	a, s := store(t)
	if err := s.Etcd.Put("/x", "1"); err != nil {
		t.Fatal(err)
	}
	s.Etcd.ReadOnly = true
	for method, want := range map[string]int{"GET": 200, "PUT": 403, "DELETE": 403, "POST": 403} {
		if got := a.do(method, "/x", "", ""); got.Status != want || want == 403 && !strings.Contains(got.Body, `"errorCode":107`) {
			t.Errorf("%s: %+v, want %d", method, got, want)
		}
	}
}

func TestCreate(t *testing.T) {
	both(t, func(t *testing.T, a *api) {
		for i, want := range []bool{true, false} {
			created, err := Create(t.Context(), a.url, "/c/a/b", fmt.Sprint(i))
			if err != nil || created != want {
				t.Errorf("create %d: %v, %v", i, created, err)
			}
		}
		if _, _, body := a.raw("GET", "/c/a/b", "", ""); !strings.Contains(body, `"value":"0"`) {
			t.Errorf("overwritten: %s", body)
		}
		if created, err := Create(t.Context(), a.url, "/c/a", ""); created || err != nil {
			t.Errorf("a key in the place of a directory: %v, %v", created, err)
		}
		if _, err := Create(t.Context(), a.url, "/c/a/b/c", ""); err == nil {
			t.Error("created a key below a key")
		}
	})
}

func TestEtcd(t *testing.T) {
	s := &Etcd{}
	if err := s.Put("/a/b", "1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("/a", "1"); err == nil {
		t.Error("put a value on a directory")
	}
	if v, i, ok := s.Get("a/b"); v != "1" || i != 4 || !ok {
		t.Error(v, i, ok)
	}
	if err := s.Put("/a/c", "2"); err != nil {
		t.Fatal(err)
	}
	var names []string
	for k, v := range s.Values("/") {
		names = append(names, k+"="+v)
	}
	sort.Strings(names)
	if diff := cmp.Diff([]string{"/a/b=1", "/a/c=2"}, names); diff != "" {
		t.Error(diff)
	}
	if !s.Delete("/a") || s.Delete("/a") {
		t.Error("delete")
	}
	if _, _, ok := s.Get("/a/b"); ok {
		t.Error("still there")
	}
}
