package demo

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	shopv1 "github.com/onlyonce-go/onlyonce/examples/orders/proto/shop/v1"
	"github.com/onlyonce-go/onlyonce/examples/orders/service"
)

// mustBeAPicture looks for what every page has, and for well-formed drawings.
func mustBeAPicture(t *testing.T, path string) string {
	t.Helper()

	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	drawings := strings.Split(string(page), "<svg")[1:]
	if len(drawings) < 2 {
		t.Errorf("the page has %d drawings, want the whole and some orders", len(drawings))
	}

	for _, drawing := range drawings {
		drawing, _, _ = strings.Cut("<svg"+drawing, "</svg>")

		for decoder := xml.NewDecoder(strings.NewReader(drawing + "</svg>")); ; {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("a drawing cannot be read: %v", err)

				break
			}
		}
	}

	if strings.Contains(string(page), "http") {
		t.Error("the page needs something from elsewhere")
	}

	return string(page)
}

func TestThePictureFollowsKeysFromRunToRunAndMarksReplays(t *testing.T) {
	began := time.Now()
	attempt := func(after time.Duration, from, method, key, parentMethod, parent, status, code string) service.Entry {
		return service.Entry{
			Kind: service.KindAttempt, At: began.Add(after), Took: time.Millisecond, Service: from, Method: method, Key: key,
			ParentMethod: parentMethod, ParentKey: parent, Number: 1, Status: status, Code: code,
		}
	}

	checkout, place, charge := shopv1.GatewayService_Checkout_FullMethodName, shopv1.OrderService_Place_FullMethodName,
		shopv1.ChargeService_Charge_FullMethodName

	tr := &trial{requested: 1, kills: map[string]int{service.Orders: 1}, entries: []service.Entry{
		attempt(0, customers, checkout, "order-1", "", "", "", "Unavailable"),
		attempt(1, service.Gateway, place, "d1-place", checkout, "order-1", "", "Unavailable"),
		attempt(2, service.Orders, charge, "d1-charge-it", place, "d1-place", "executed", "OK"),
		{Kind: service.KindKilled, At: began.Add(3), Service: customers, What: service.Orders},
		attempt(4, customers, checkout, "order-1", "", "", "executed", "OK"),
		attempt(5, service.Gateway, place, "d1-place", checkout, "order-1", "executed", "OK"),
		attempt(6, service.Orders, charge, "d1-charge-it", place, "d1-place", "replayed", "OK"),
		attempt(7, service.Orders, charge, "d1-stray", place, "d1-of-nobody", "executed", "OK"),
	}}

	path := filepath.Join(t.TempDir(), "chain.html")
	if err := draw(path, tr); err != nil {
		t.Fatal(err)
	}

	page := mustBeAPicture(t, path)

	for _, want := range []string{
		"order-1: 6 attempts, 1 replays", "orders is killed after 0 ms", "0 ms  d1-charge-…  replayed", "no answer",
		"orders calls /shop.v1.ChargeService/Charge with key d1-charge-it, attempt 1, for 1 ms: replayed",
		"<td>orders → payments</td><td>2</td><td>3</td><td>2</td><td>1</td><td>0</td>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q:\n%s", want, page)
		}
	}

	if strings.Contains(page, "with key d1-stray") {
		t.Error("the page shows a call that is of no order")
	}
}
