package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

const snapshotPath = "../../docs/snapshot.md"

// field is a field of an object in JSON, as code or document have it.
type field struct {
	Type   string
	Always bool // it is never absent
}

// objects are the types of objects in JSON, by name, with their fields.
type objects map[string]map[string]field

// shown is what status, show and history print, by the name that the document has for it.
var shown = map[string]reflect.Type{"Run": reflect.TypeFor[runView](), "Past": reflect.TypeFor[pastView]()}

// TestSnapshotDocument holds docs/snapshot.md against the code: it names each field that can be printed with its type and whether it
// may be absent, each value of each enumeration, and nothing else; and that is what is printed.
//
// Planted faults that it saw: a field without a row, a row without a field, a type, an absent that is not; a value that is missing.
func TestSnapshotDocument(t *testing.T) {
	code, enums := objects{}, map[string]bool{}
	for name, view := range shown {
		code.add(name, view, enums)
	}
	document, values := readSnapshotDocument(t)
	if diff := cmp.Diff(code, document); diff != "" {
		t.Errorf("fields (-code +document):\n%s", diff)
	}
	declared := map[string][]string{}
	for enum := range enums {
		declared[enum] = constants(t, enum)
	}
	if diff := cmp.Diff(declared, values); diff != "" {
		t.Errorf("values (-code +document):\n%s", diff)
	}

	for name, view := range shown {
		sample := reflect.New(view).Elem()
		fill(t, sample)
		document.hold(t, "", name, decoded(t, sample.Interface()), func(field) bool { return true })
	}
	plan, err := rollouttest.QuarantineAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, events := range []int{1, 20, 60, 0} {
		play := rollouttest.Play{Plan: plan, Do: rollouttest.BadQuarantines, Events: events}
		s, err := play.Run()
		if err != nil {
			t.Fatal(err)
		}
		for _, now := range []*rollout.Snapshot{s.Snapshot(), s.Snapshot().Died()} {
			document.hold(t, "", "Run", decoded(t, runView{Snapshot: now}), func(f field) bool { return f.Always })
		}
	}
}

// add adds the type of an object, and all those below it; and the enumerations that it finds.
func (o objects) add(name string, t reflect.Type, enums map[string]bool) {
	if o[name] != nil {
		return
	}
	o[name] = map[string]field{}
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" || f.Anonymous || !f.IsExported() {
			continue
		}
		o[name][tag] = field{Type: o.typeOf(f.Type, enums), Always: !strings.Contains(options, "omit")}
	}
}

func (o objects) typeOf(t reflect.Type, enums map[string]bool) string {
	switch t {
	case reflect.TypeFor[time.Time]():
		return "time"
	case reflect.TypeFor[rollout.Duration]():
		return "duration"
	case reflect.TypeFor[rollout.HostList]():
		return "[" + o.typeOf(reflect.TypeFor[rollout.HostReport](), enums) + "]"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return o.typeOf(t.Elem(), enums)
	case reflect.Slice:
		return "[" + o.typeOf(t.Elem(), enums) + "]"
	case reflect.Struct:
		o.add(t.Name(), t, enums)
		return t.Name()
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		if t.PkgPath() == "" || t == reflect.TypeFor[rollout.StepID]() {
			return "string"
		}
		enums[t.Name()] = true
		return t.Name()
	default:
		return "number"
	}
}

// constants returns the values of an enumeration that the core or the inventory declares, in the order of the sources.
func constants(t *testing.T, enum string) []string {
	t.Helper()
	var values []string
	for _, folder := range []string{"../../inventory", "../../orchestrator/rollout"} {
		sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range sources {
			file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 && isNamed(spec.Type, enum) {
					if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
						value, _ := strconv.Unquote(literal.Value) // the parser has seen that it is one
						values = append(values, value)
					}
				}
				return true
			})
		}
	}
	slices.Sort(values)
	return values
}

// isNamed says whether an expression is a type of that name.
func isNamed(e ast.Expr, name string) bool {
	if selector, ok := e.(*ast.SelectorExpr); ok {
		e = selector.Sel
	}
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == name
}

var tableRow = regexp.MustCompile("^\\| `([^`]+)` \\| (.*) \\|$")

// readSnapshotDocument returns the objects and the enumerations that the document describes: below a heading with the name of each,
// a table.
// One with four columns is of an object: field, type, when it is absent, what it says; one with two of an enumeration.
func readSnapshotDocument(t *testing.T) (objects, map[string][]string) {
	t.Helper()
	data, err := os.ReadFile(snapshotPath)
	if err != nil {
		t.Fatal(err)
	}
	all, values, heading := objects{}, map[string][]string{}, ""
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			heading = strings.TrimSpace(name)
		}
		row := tableRow.FindStringSubmatch(strings.TrimSpace(line))
		if row == nil {
			continue
		}
		switch cells := strings.Split(row[2], " | "); len(cells) {
		case 1:
			values[heading] = append(values[heading], row[1])
			slices.Sort(values[heading])
		case 3:
			if all[heading] == nil {
				all[heading] = map[string]field{}
			}
			all[heading][row[1]] = field{Type: strings.Trim(cells[0], "`"), Always: cells[1] == "never"}
			if strings.TrimSpace(cells[2]) == "" {
				t.Errorf("%s.%s: nothing says what it is", heading, row[1])
			}
		default:
			t.Errorf("a row of %d columns: %s", len(cells)+1, line)
		}
	}
	return all, values
}

// fill sets all that there is in a value.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = rollouttest.Began
		return
	case *rollout.HostList:
		var report rollout.HostReport
		fill(t, reflect.ValueOf(&report).Elem())
		data, err := json.Marshal([]rollout.HostReport{report})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, at); err != nil {
			t.Fatal(err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(t, v.Field(i))
			}
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.Set(reflect.ValueOf(7).Convert(v.Type()))
	}
}

func decoded(t *testing.T, v any) map[string]any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// hold holds an object, and all below it, against the document: it has the fields that must be there, of the types that the document
// says, and none that the document does not know.
func (o objects) hold(t *testing.T, path, name string, object map[string]any, must func(field) bool) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(object)) {
		f, known := o[name][key]
		if !known {
			t.Errorf("%s.%s: the document has no such field of %s", path, key, name)
			continue
		}
		o.holdValue(t, path+"."+key, f.Type, object[key], must)
	}
	for _, key := range slices.Sorted(maps.Keys(o[name])) {
		if _, has := object[key]; !has && must(o[name][key]) {
			t.Errorf("%s lacks %s, of %s", path, key, name)
		}
	}
}

func (o objects) holdValue(t *testing.T, path, want string, value any, must func(field) bool) {
	t.Helper()
	if element, ok := strings.CutPrefix(want, "["); ok {
		all, isList := value.([]any)
		if !isList && value != nil {
			t.Errorf("%s is %v, no list", path, value)
		}
		for i, one := range all {
			o.holdValue(t, fmt.Sprintf("%s[%d]", path, i), strings.TrimSuffix(element, "]"), one, must)
		}
		return
	}
	is := ""
	switch value := value.(type) {
	case map[string]any:
		o.hold(t, path, want, value, must)
		return
	case bool:
		is = "boolean"
	case float64:
		is = "number"
	case string:
		if is = want; want == "number" || want == "boolean" || o[want] != nil {
			is = "string"
		}
		if _, err := time.Parse(time.RFC3339Nano, value); want == "time" && err != nil {
			is = "string"
		}
		if _, err := time.ParseDuration(value); want == "duration" && err != nil {
			is = "string"
		}
	case nil: // of a list that is empty, or of what there is not
		return
	}
	if is != want {
		t.Errorf("%s is a %s, the document says %s", path, is, want)
	}
}
