package etcd_test

import (
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/pooling/etcd"
)

func TestConfig(t *testing.T) {
	ok := []string{"https://conf1:4001"}
	for _, c := range []struct {
		config etcd.Config
		want   string
	}{
		{etcd.Config{}, "no endpoints"},
		{etcd.Config{Endpoints: []string{"conf1:4001"}}, "want a base URL"},
		{etcd.Config{Endpoints: []string{"ftp://conf1"}}, "want a base URL"},
		{etcd.Config{Endpoints: []string{"http://"}}, "want a base URL"},
		{etcd.Config{Endpoints: []string{"http://conf1/?x=y"}}, "want a base URL"},
		{etcd.Config{Endpoints: []string{"http://[secret"}}, "not a URL"},
		{etcd.Config{Endpoints: []string{"https://root:secret@conf1"}}, "settings of their own"},
		{etcd.Config{Endpoints: ok, Timeout: -1}, "timeout"},
		{etcd.Config{Endpoints: ok, CAFile: "/nowhere"}, "CA file"},
		{etcd.Config{Endpoints: ok, CAFile: "doc.go"}, "no PEM certificate"},
		{etcd.Config{Endpoints: ok, CertFile: "doc.go"}, "both"},
		{etcd.Config{Endpoints: ok, CertFile: "doc.go", KeyFile: "doc.go"}, "client certificate"},
	} {
		_, err := etcd.New(c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: got %v, want %q", c.config, err, c.want)
		}
	}
	if _, err := etcd.New(etcd.Config{Endpoints: []string{"http://conf1/behind/a/path/"}}); err != nil {
		t.Error(err)
	}
}
