package onceconnect

import (
	"testing"

	"connectrpc.com/connect"

	shopv1 "github.com/onlyonce-go/onlyonce/connect/internal/testproto/shop/v1"
)

func TestARunThatIsRepeatedGetsItsOwnMessage(t *testing.T) {
	given := connect.NewRequest(&shopv1.PayRequest{Order: "changed by the first run"})
	given.Header().Set("X-Header", "h")

	if same := withMessage(given, given.Msg); same != connect.AnyRequest(given) {
		t.Error("the first run gets another request")
	}

	again, ok := withMessage(given, &shopv1.PayRequest{Order: "1"}).(*connect.Request[shopv1.PayRequest])
	if !ok || again.Msg.GetOrder() != "1" || again.Header().Get("X-Header") != "h" || given.Msg.GetOrder() == "1" {
		t.Errorf("the second run gets %v", again)
	}
}
