package oncehttp

import (
	"io"
	"sync"
)

// ending returns a body that ends its attempt. The body of 101 Switching Protocols can be written to, too.
func ending(body io.ReadCloser, end func()) io.ReadCloser {
	own := &endingBody{ReadCloser: body, end: end}

	if w, ok := body.(io.Writer); ok {
		return struct {
			*endingBody
			io.Writer
		}{own, w}
	}

	return own
}

// endingBody ends the context of its attempt when it is closed or read to its end.
type endingBody struct {
	io.ReadCloser

	once sync.Once
	end  func()
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(b.end)
	}

	return n, err
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.end)

	return err
}
