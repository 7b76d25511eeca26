package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// The options of a URL for TLS.
const (
	optionCA         = "ca_file"
	optionSkipVerify = "skip_verify"
)

// urlTLS has the TLS options of a URL.
type urlTLS struct {
	caFile     string
	skipVerify bool
}

// takeTLS removes the TLS options from a URL. Without TLS they are an error.
func takeTLS(address string) (rest string, set urlTLS, err error) {
	before, query, _ := strings.Cut(address, "?")

	options, err := url.ParseQuery(query)
	if err != nil || !options.Has(optionCA) && !options.Has(optionSkipVerify) {
		return address, set, nil //nolint:nilerr // go-redis reports the error
	}

	if !strings.HasPrefix(before, "rediss:") {
		return address, set, errors.New("the options of TLS need TLS")
	}

	set.caFile = options.Get(optionCA)

	if text := options.Get(optionSkipVerify); text != "" {
		if set.skipVerify, err = strconv.ParseBool(text); err != nil {
			return address, set, fmt.Errorf("option %s: %w", optionSkipVerify, err)
		}
	}

	options.Del(optionCA)
	options.Del(optionSkipVerify)

	return before + "?" + options.Encode(), set, nil
}

// set applies the options to the configuration that go-redis made for the URL. Config is nil without TLS.
func (u urlTLS) set(config *tls.Config) error {
	if config == nil {
		return nil
	}

	config.InsecureSkipVerify = u.skipVerify

	if u.caFile == "" {
		return nil
	}

	pem, err := os.ReadFile(u.caFile)
	if err != nil {
		return fmt.Errorf("redisstore: option %s of the URL of the store: %w", optionCA, err)
	}

	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("redisstore: option %s of the URL of the store: %s has no certificate: give a file in PEM form", optionCA, u.caFile)
	}

	return nil
}
