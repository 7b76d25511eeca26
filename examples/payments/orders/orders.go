// Package orders reads payment orders from CSV. It checks the whole file before anything is paid.
package orders

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Order is a payment order.
type Order struct {
	ID           string
	Payer, Payee string
	// AmountMinor is in minor units of the currency, such as cents.
	AmountMinor int64
	Currency    string
}

// Key returns the idempotency key of the order. Every submission of the order has the same key.
func (o Order) Key() string { return "order-" + o.ID }

// Header is the first line of a file.
const Header = "order_id,payer,payee,amount,currency"

// maxIDLength keeps the key within the 255 characters of the contract.
const maxIDLength = 200

// euro is the most common currency.
const euro = "EUR"

// exponents returns the decimal places of known currencies.
func exponents() map[string]int {
	return map[string]int{euro: 2, "GBP": 2, "JPY": 0, "KRW": 0, "USD": 2}
}

// LineError is an error in a line of the input.
type LineError struct {
	// Line is the line number, from 1. The header is line 1.
	Line int
	Err  error
}

// Error names the line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// Read reads all orders. An invalid line is a *LineError.
func Read(r io.Reader) ([]Order, error) {
	reader := csv.NewReader(skipByteOrderMark(r))
	reader.FieldsPerRecord = -1 // counted below, for a better message

	if err := readHeader(reader); err != nil {
		return nil, err
	}

	var all []Order

	seen := make(map[string]int)

	for {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			return nil, readError(err, len(all)+2) // the header, and counting from 1
		}

		line, _ := reader.FieldPos(0)

		order, err := parse(fields)
		if err != nil {
			return nil, &LineError{Line: line, Err: err}
		}

		if first, ok := seen[order.ID]; ok {
			return nil, &LineError{Line: line, Err: fmt.Errorf("order %s is already on line %d: give each order an id of its own", order.ID, first)}
		}

		seen[order.ID] = line
		all = append(all, order)
	}

	if len(all) == 0 {
		return nil, errors.New("there is no order below the header")
	}

	return all, nil
}

func readHeader(reader *csv.Reader) error {
	header, err := reader.Read()

	switch {
	case errors.Is(err, io.EOF):
		return &LineError{Line: 1, Err: fmt.Errorf("the file is empty: begin it with the line %q", Header)}
	case err != nil:
		return readError(err, 1)
	case strings.Join(header, ",") != Header:
		return &LineError{Line: 1, Err: fmt.Errorf("the header is %q: write %q", strings.Join(header, ","), Header)}
	default:
		return nil
	}
}

func readError(err error, line int) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return &LineError{Line: parse.Line, Err: parse.Err}
	}

	return &LineError{Line: line, Err: err}
}

// skipByteOrderMark skips the byte order mark that some spreadsheets write.
func skipByteOrderMark(r io.Reader) io.Reader {
	const mark = "\ufeff"

	buffered := bufio.NewReader(r)
	if start, err := buffered.Peek(len(mark)); err == nil && string(start) == mark {
		_, _ = buffered.Discard(len(mark))
	}

	return buffered
}

func parse(fields []string) (Order, error) {
	const columns = 5
	if len(fields) != columns {
		return Order{}, fmt.Errorf("there are %d fields and must be %d: %s", len(fields), columns, Header)
	}

	return New(fields[0], fields[1], fields[2], fields[3], fields[4])
}

// New validates an order. The amount is a decimal number.
func New(id, payer, payee, amount, currency string) (Order, error) {
	order := Order{ID: id, Payer: payer, Payee: payee, Currency: currency}

	if err := checkID(order.ID); err != nil {
		return Order{}, err
	}

	for i, account := range []string{order.Payer, order.Payee} {
		if strings.TrimSpace(account) == "" || !utf8.ValidString(account) {
			return Order{}, fmt.Errorf("the %s is %q: give an account", strings.Split(Header, ",")[i+1], account)
		}
	}

	if order.Payer == order.Payee {
		return Order{}, fmt.Errorf("%s pays itself: payer and payee must differ", order.Payer)
	}

	places, known := exponents()[order.Currency]
	if !known {
		return Order{}, fmt.Errorf("the currency is %q: give EUR, GBP, JPY, KRW or USD", order.Currency)
	}

	minor, err := minorUnits(amount, places)
	if err != nil {
		return Order{}, err
	}

	order.AmountMinor = minor

	return order, nil
}

// checkID checks that an ID can be part of an idempotency key.
func checkID(id string) error {
	if id == "" || len(id) > maxIDLength {
		return fmt.Errorf("the order id has %d characters: give 1 to %d", len(id), maxIDLength)
	}

	for i := range len(id) {
		if id[i] < '!' || id[i] > '~' {
			return fmt.Errorf("the order id %q has a character that is not printable ASCII", id)
		}
	}

	return nil
}

// minorUnits parses a positive decimal number with at most this many places, without floating point.
func minorUnits(text string, places int) (int64, error) {
	problem := fmt.Errorf("the amount is %q: give a positive number with at most %d decimal places, such as %s",
		text, places, "12"+strings.Repeat(".50", min(places, 1)))

	whole, fraction, dotted := strings.Cut(text, ".")
	if whole == "" || len(fraction) > places || dotted && fraction == "" {
		return 0, problem
	}

	digits := whole + fraction + strings.Repeat("0", places-len(fraction))
	if strings.Trim(digits, "0123456789") != "" {
		return 0, problem
	}

	amount, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || amount <= 0 {
		return 0, problem
	}

	return amount, nil
}

// FormatAmount formats minor units as a decimal number, as Read accepts it.
func FormatAmount(minor int64, currency string) string {
	if minor < 0 {
		return "-" + FormatAmount(-minor, currency)
	}

	places := exponents()[currency]
	text := fmt.Sprintf("%0*d", places+1, minor)

	if places == 0 {
		return text
	}

	return text[:len(text)-places] + "." + text[len(text)-places:]
}
