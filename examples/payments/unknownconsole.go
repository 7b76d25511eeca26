package main

import (
	"context"
	"errors"
	"io"

	"github.com/onlyonce-go/onlyonce"
)

func serveConsole(context.Context, io.Writer, *onlyonce.Engine) (func(), error) {
	return nil, errors.New("there is no console")
}
