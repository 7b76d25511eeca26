// Package interceptortest checks servers in tests: the order of their interceptors, and the behaviour of their methods under faults.
//
// # Order
//
// Interceptors in front of protect.Unary see every call. Interceptors behind it see only the first call of a key. [CheckOrder] finds two
// mistakes that the compiler cannot find:
//   - Authentication behind protect.Unary: strangers get the answers of others, and refusals are recorded as answers.
//   - A timeout behind protect.Unary that abandons its handler: several handlers of one key run at the same time.
//
// A test calls CheckOrder:
//
//	func TestOrderOfInterceptors(t *testing.T) {
//		owner := interceptortest.Caller{Metadata: metadata.Pairs("authorization", "Bearer "+token)}
//		stranger := interceptortest.Caller{}
//
//		if err := interceptortest.CheckOrder(t.Context(), newServer(t), owner, stranger); err != nil {
//			t.Error(err)
//		}
//	}
//
// # Faults
//
// [Faults] calls a method while replies are lost, callers go, servers die, the store is down and the handler fails. It returns a table of
// the answers that callers get, the effects, and the risk:
//
//	func TestPayLosesNoMoney(t *testing.T) {
//		table := interceptortest.Faults(t, interceptortest.Subject{
//			NewServer: func(around interceptortest.Around) (*grpc.Server, error) { return newServer(around.Store, around.First, around.Last) },
//			Method:    paymentsv1.PaymentService_Pay_FullMethodName,
//			Request:   &paymentsv1.PayRequest{…},
//			Response:  &paymentsv1.PayResponse{},
//			Effects:   bank.Payments,
//		})
//
//		if lost := table.Lost(); len(lost) > 0 {
//			t.Errorf("money is lost:\n%v", lost)
//		}
//	}
package interceptortest
