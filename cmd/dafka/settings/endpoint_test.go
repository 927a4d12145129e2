package settings

import (
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

func TestHTTPAddress(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"9090", "127.0.0.1:9090"},
		{":9090", "127.0.0.1:9090"},
		{":0", "127.0.0.1:0"},
		{"*:9090", ":9090"},
		{"0.0.0.0:9090", "0.0.0.0:9090"},
		{"localhost:9090", "localhost:9090"},
		{"[::1]:9090", "[::1]:9090"},
		{"", ""},
		{":", ""},
		{"localhost", ""},
		{"localhost:", ""},
		{"localhost:http", ""},
		{"65536", ""},
		{"::1:9090", ""},
		{"http://localhost:9090", ""},
	} {
		got, err := HTTPAddress(test.text)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: got %q, error %v; want %q", test.text, got, err, test.want)
		}
	}
}
