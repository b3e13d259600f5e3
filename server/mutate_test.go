package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// This file changes good requests: their bytes, fields, headers, order, and where they end.

// oddities are what programs have tripped over.
var oddities = []string{
	"\x00", "\r\n", "\n", "\r", "\t", " ", "%2F", "%00", "%zz", "..", "//", "\\", "\"", "'", "{", "}", "[", "]", ",", ":", ";", "<", "&", "?", "#", "\u202e", "\u200b", "\ufeff",
	"e\u0301", "\xff", "\xc0\xaf", "\xed\xa0\x80", `\ud800`, `\u0000`, "null", "true", "-1", "0", "1e999", "18446744073709551616", "9007199254740993", "1.5", "NaN",
	strings.Repeat("[", 40), strings.Repeat(`{"a":`, 40), strings.Repeat("A", 5000), "${jndi:ldap://x}", "' OR 1=1 --", "../../etc/passwd", "\U0001f469\u200d\U0001f52c",
	"HTTP/1.1 200 OK\r\n\r\n", "0\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
}

// strange are headers that say something that the request does not need.
var strange = [][2]string{
	{"Transfer-Encoding", "chunked"},
	{"Transfer-Encoding", "identity"},
	{"Transfer-Encoding", "gzip, chunked"},
	{"Content-Encoding", "gzip"},
	{"Content-Length", "0"},
	{"Content-Length", "7"},
	{"Content-Length", "-1"},
	{"Content-Length", "99999999999999999999"},
	{"Content-Length", "1, 1"},
	{"Expect", "100-continue"},
	{"Expect", "x"},
	{"Idempotency-Key", "k"},
	{"Idempotency-Key", ""},
	{"Host", "other"},
	{"Connection", "close"},
	{"Connection", "keep-alive, Authorization"},
	{"Upgrade", "h2c"},
	{"Accept", "image/png"},
	{"Accept", "application/ld+json"},
	{"Accept-Language", "ko"},
	{"Content-Type", "text/plain"},
	{"Authorization", "Bearer x"},
	{"Access-Reason", "\u202e"},
	{"Access-Ground", "x/../y"},
	{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	{"traceparent", "zz"},
	{"X-HTTP-Method-Override", "DELETE"},
	{"X-Forwarded-For", "127.0.0.1"},
	{"Range", "bytes=0-1"},
	{"If-None-Match", "*"},
	{"Trailer", "Authorization"},
	{"TE", "trailers"},
	{"Cookie", "a=b"},
	{"Origin", "null"},
	{"Content-MD5", "x"},
	{"Date", "yesterday"},
}

// mutate changes a call in up to three ways, and says in which.
func mutate(r *rand.Rand, c goodCall) (sent []byte, how string) {
	c.headers = slices.Clone(c.headers)
	var ways []string
	fit := r.IntN(4) > 0 // mostly the length of the body is told as it is, else most of this ends at the head
	for range 1 + r.IntN(2) {
		way := pickOne(r, []string{"field", "field", "field", "header", "header", "order", "target", "body", "none"})
		ways = append(ways, way)
		switch way {
		case "field":
			c.body = changeField(r, c.body)
		case "header":
			changeHeader(r, &c)
		case "order":
			r.Shuffle(len(c.headers), func(i, j int) { c.headers[i], c.headers[j] = c.headers[j], c.headers[i] })
			c.body = reorder(r, c.body)
		case "target":
			changeTarget(r, &c)
		case "body":
			c.body = string(changeBytes(r, []byte(c.body)))
		}
	}
	if fit {
		for i := range c.headers {
			if c.headers[i][0] == "Content-Length" {
				c.headers[i][1] = itoa(len(c.body))
				break
			}
		}
	}
	sent = c.raw()
	switch r.IntN(8) {
	case 0:
		ways = append(ways, "bytes")
		sent = changeBytes(r, sent)
	case 1:
		ways = append(ways, "truncation")
		sent = sent[:1+r.IntN(len(sent)-1)]
	case 2:
		ways = append(ways, "twice")
		sent = append(slices.Clone(sent), sent...)
	}
	return sent, strings.Join(ways, "+")
}

func pickOne[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func changeBytes(r *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			return []byte(pickOne(r, oddities))
		}
		i := r.IntN(len(b))
		j := min(len(b), i+1+r.IntN(20))
		switch r.IntN(6) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = byte(r.IntN(256))
		case 2:
			b = slices.Delete(b, i, j)
		case 3:
			b = slices.Insert(b, i, slices.Clone(b[i:j])...)
		case 4:
			b = slices.Insert(b, i, []byte(pickOne(r, oddities))...)
		case 5:
			b = append(b[:i:i], append([]byte(pickOne(r, oddities)), b[j:]...)...)
		}
	}
	return b
}

func changeHeader(r *rand.Rand, c *goodCall) {
	i := r.IntN(len(c.headers))
	switch r.IntN(7) {
	case 0:
		c.headers = slices.Delete(c.headers, i, i+1)
		if len(c.headers) == 0 {
			c.headers = append(c.headers, [2]string{"X", "y"})
		}
	case 1:
		c.headers = append(c.headers, c.headers[i])
	case 2:
		c.headers[i][0] = strings.ToUpper(c.headers[i][0])
	case 3:
		c.headers[i][1] = string(changeBytes(r, []byte(c.headers[i][1])))
	case 4:
		c.headers[i][0] = string(changeBytes(r, []byte(c.headers[i][0])))
	default:
		c.headers = slices.Insert(c.headers, i, pickOne(r, strange))
	}
}

func changeTarget(r *rand.Rand, c *goodCall) {
	switch r.IntN(6) {
	case 0:
		c.method = pickOne(r, []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND", "P\x00ST"})
	case 1:
		c.path += pickOne(r, []string{"/", "?x=1", "?limit=1", "?limit=1&limit=2", "?cursor=%zz", "?within=30d", "#x", "%20", "/..", ";a=b", "?" + strings.Repeat("a", 3000)})
	case 2:
		c.path = string(changeBytes(r, []byte(c.path)))
	case 3:
		c.path = "http://other" + c.path
	case 4:
		c.path = strings.ToUpper(c.path)
	case 5:
		i := r.IntN(len(c.path))
		c.path = c.path[:i] + fmt.Sprintf("%%%02X", c.path[i]) + c.path[i+1:]
	}
}

// changeField changes one place of a JSON body; of another it changes bytes.
func changeField(r *rand.Rand, body string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return string(changeBytes(r, []byte(body)))
	}
	var places []func()
	var walk func(v any, set func(any))
	walk = func(v any, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			names := make([]string, 0, len(v))
			for k := range v {
				names = append(names, k)
			}
			slices.Sort(names) // so that the same seed makes the same change
			for _, k := range names {
				places = append(places,
					func() { delete(v, k) },
					func() { v[strings.ToUpper(k)] = v[k] },
					func() { v[k+"\u200b"] = v[k]; delete(v, k) },
					func() { v[pickOne(r, oddities)] = v[k] })
				walk(v[k], func(n any) { v[k] = n })
			}
		case []any:
			places = append(places, func() { set([]any{}) }, func() { set(append(v[:len(v):len(v)], v...)) }, func() { set(nil) })
			for i, old := range v {
				walk(old, func(n any) { v[i] = n })
			}
		case string:
			places = append(places,
				func() { set(v + pickOne(r, oddities)) }, func() { set(pickOne(r, oddities) + v) }, func() { set(pickOne(r, oddities)) },
				func() { set(strings.Repeat(v+"x", 300)) }, func() { set("") })
		}
		places = append(places, func() { set(nil) }, func() { set(json.Number(pickOne(r, []string{"-1", "1e400", "9007199254740993", "0.5"}))) },
			func() { set([]any{v}) }, func() { set(map[string]any{"x": v}) }, func() { set(true) })
	}
	walk(v, func(n any) { v = n })
	if len(places) == 0 {
		return body
	}
	pickOne(r, places)()
	out, err := json.Marshal(v)
	if err != nil {
		return body
	}
	if r.IntN(6) == 0 { // a field twice, which a map cannot hold
		var fields map[string]json.RawMessage
		if json.Unmarshal(out, &fields) == nil {
			for k, f := range fields {
				return strings.TrimSuffix(string(out), "}") + fmt.Sprintf(",%q:%s}", k, f)
			}
		}
	}
	return string(out)
}

// reorder writes the fields of a body in another order, which means the same.
func reorder(r *rand.Rand, body string) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &fields) != nil {
		return body
	}
	names := make([]string, 0, len(fields))
	for k := range fields {
		names = append(names, k)
	}
	slices.Sort(names)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var b bytes.Buffer
	for i, k := range names {
		b.WriteString(map[bool]string{true: "{", false: " ,\n"}[i == 0])
		fmt.Fprintf(&b, "%q : %s", k, fields[k])
	}
	b.WriteString("}")
	return b.String()
}
