package main

import (
	"os"
	"testing"
)

func TestBindEndpoint(t *testing.T) {
	for _, test := range []struct{ where, want string }{
		{"5558", "tcp://*:5558"},
		{"*", "tcp://*:*"},
		{"*:5558", "tcp://*:5558"},
		{"127.0.0.1", "tcp://127.0.0.1:*"},
		{"127.0.0.1:5558", "tcp://127.0.0.1:5558"},
		{"127.0.0.1:*", "tcp://127.0.0.1:*"},
		{"127.0.0.1:0", "tcp://127.0.0.1:*"},
		{"0", "tcp://*:*"},
		{"eth0", "tcp://eth0:*"},
		{"eth0:5558", "tcp://eth0:5558"},
		{"::1", "tcp://[::1]:*"},
		{"[::1]", "tcp://[::1]:*"},
		{"[::1]:5558", "tcp://[::1]:5558"},

		{"65536", ""},
		{"05558", ""},
		{"5558x", ""},
		{":5558", ""},
		{":", ""},
		{"127.0.0.1:", ""},
		{"127.0.0.1:-1", ""},
		{"127.0.0.1:http", ""},
		{"tcp://127.0.0.1:5558", ""},
		{"a:b:1", ""},
		{"[::1:5558", ""},
		{"a b", ""},
	} {
		got, err := bindEndpoint(test.where)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: got %q, error %v; want %q", test.where, got, err, test.want)
		}
	}
}

func TestReachable(t *testing.T) {
	for bound, want := range map[string]string{
		"tcp://0.0.0.0:5557":  "tcp://127.0.0.1:5557",
		"tcp://[::]:5557":     "tcp://127.0.0.1:5557",
		"tcp://[::1]:5557":    "tcp://[::1]:5557",
		"tcp://10.0.0.0:5557": "tcp://10.0.0.0:5557",
	} {
		if got := reachable(bound); got != want {
			t.Errorf("%s: got %s, want %s", bound, got, want)
		}
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, f := range []*os.File{null, r, w} {
		if isTerminal(f) {
			t.Errorf("%s is taken for a terminal", f.Name())
		}
	}
}
