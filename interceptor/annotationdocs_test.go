package interceptor_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	onlyoncev1 "github.com/onlyonce-go/onlyonce/proto/onlyonce/v1"
)

func TestDocumentationHasEveryOptionWithItsNumberAndEverySetting(t *testing.T) {
	text, err := os.ReadFile("../docs/annotations.md")
	if err != nil {
		t.Fatal(err)
	}

	var want []string

	file := onlyoncev1.File_onlyonce_v1_options_proto
	for i := range file.Extensions().Len() {
		e := file.Extensions().Get(i)
		want = append(want, fmt.Sprintf("| %#q | %#q | %d |", "("+e.FullName()+")", e.ContainingMessage().FullName(), e.Number()))
	}

	for _, message := range []protoreflect.MessageDescriptor{
		(&onlyoncev1.Policy{}).ProtoReflect().Descriptor(), (&onlyoncev1.Field{}).ProtoReflect().Descriptor(),
	} {
		for i := range message.Fields().Len() {
			want = append(want, fmt.Sprintf("\n| %#q | ", message.Fields().Get(i).Name()))
		}
	}

	for i := range file.Enums().Len() {
		// The first value of each enum means "unspecified".
		for j := 1; j < file.Enums().Get(i).Values().Len(); j++ {
			want = append(want, string(file.Enums().Get(i).Values().Get(j).Name()))
		}
	}

	for _, part := range want {
		if !strings.Contains(string(text), part) {
			t.Errorf("docs/annotations.md does not have %q", part)
		}
	}
}

// A number from 50000 to 99999 may collide with a company's own option. One registered number serves all three extensions.
func TestOptionsHaveOneNumberThatAPublicExtensionMayHave(t *testing.T) {
	extensions := onlyoncev1.File_onlyonce_v1_options_proto.Extensions()
	for i := range extensions.Len() {
		e := extensions.Get(i)
		if number := e.Number(); number < 1000 || number >= 50000 || number != onlyoncev1.E_Method.TypeDescriptor().Number() {
			t.Errorf("%s has the number %d", e.FullName(), number)
		}
	}
}
