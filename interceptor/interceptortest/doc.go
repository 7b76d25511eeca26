// Package interceptortest checks, in the tests of a server, that its interceptors are in the right order.
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
package interceptortest
