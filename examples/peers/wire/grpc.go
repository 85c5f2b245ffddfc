package wire

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// grpcGet is the method of a service that takes and gives an Int64Value. What protoc would make
// for it is grpcService and a call of Invoke.
const grpcGet = "/wire.Rung/Get"

type grpcRung interface {
	get(ctx context.Context, n *wrapperspb.Int64Value) (*wrapperspb.Int64Value, error)
}

type grpcObject struct{}

func (grpcObject) get(_ context.Context, n *wrapperspb.Int64Value) (*wrapperspb.Int64Value, error) {
	return wrapperspb.Int64(number + n.Value), nil
}

func grpcService() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "wire.Rung", HandlerType: (*grpcRung)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Get",
			Handler: func(s any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				n := new(wrapperspb.Int64Value)
				if err := decode(n); err != nil {
					return nil, err
				}
				return s.(grpcRung).get(ctx, n)
			},
		}},
	}
}

func serveGRPC(dir, road string) (served, error) {
	door, err := listen(dir, road)
	if err != nil {
		return served{}, err
	}
	s := grpc.NewServer()
	s.RegisterService(grpcService(), grpcObject{})
	go func() { _ = s.Serve(door) }()
	return served{at: door.Addr().String()}, nil
}

type grpcClient struct {
	road, at string
	conn     *grpc.ClientConn
}

func dialGRPC(_, road, at string) (client, error) {
	c := &grpcClient{road: road, at: at}
	return c, c.connect()
}

// connect uses the connection that all peers use; its TLS is no business of grpc.
func (c *grpcClient) connect() (err error) {
	c.conn, err = grpc.NewClient("passthrough:///wire",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return connect(c.road, c.at) }))
	return err
}

func (c *grpcClient) call(ctx context.Context, n int64) (int64, error) {
	r := new(wrapperspb.Int64Value)
	err := c.conn.Invoke(ctx, grpcGet, wrapperspb.Int64(n), r, grpc.WaitForReady(true))
	return r.Value, err
}

func (c *grpcClient) leave() error { return c.close() }

func (c *grpcClient) come(context.Context) error { return c.connect() }

func (c *grpcClient) close() error { return c.conn.Close() }
