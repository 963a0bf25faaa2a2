/// Where the gateway listens, and the bounds of what it takes.
package struct GatewayConfiguration: Sendable {
    package var host: String
    package var port: Int  // 0: any free one; `GatewayService.onRunning` says which
    /// The provider of VMs that are created by request.
    package var provider: String
    /// Those that a request may name, the above among them.
    package var providers: [String]

    /// Largest body of a request, in bytes, except streamed stdin.
    package var bodyLimit = 2_000_000
    /// Largest head of a request, in bytes.
    package var headerLimit = 32_768
    package var maximumConnections = 16_384

    /// How long a connection may stay open with no request under way.
    package var idleTimeout: Duration = .seconds(60)
    /// From a head's first byte to its last.
    package var headerTimeout: Duration = .seconds(10)
    /// For all of a body that is read whole.
    package var bodyTimeout: Duration = .seconds(30)
    /// How long a client that streams stdin may send nothing.
    package var inputTimeout: Duration = .seconds(3_600)
    /// How long a client may take nothing of what is written to it.
    package var stallTimeout: Duration = .seconds(300)
    /// How long a client that was answered may take to close.
    package var lingerTimeout: Duration = .seconds(2)
    /// How long running requests may go on after a graceful shutdown began.
    package var drainTimeout: Duration = .seconds(30)

    /// Most output an execution may have that is answered as one JSON document.
    package var bufferedOutputLimit = 16 << 20
    /// Most output all such executions may hold together.
    package var bufferedOutputTotal = 512 << 20

    var webSockets = WebSocketLimits()
    package var trpc = TRPCConfiguration()
    /// What the provider offers. Nothing, unless whoever knows the provider says so.
    package var catalog: ProviderCatalog = { Offer() }
    package var rateLimits = RateLimits.standard
    package var metricsAccess = MetricsAccess.loopback
    /// What pages are made of; `nil`: there are none.
    package var pages: PageFiles?

    package init(host: String = "127.0.0.1", port: Int = 4610, provider: String = "local") {
        self.host = host
        self.port = port
        self.provider = provider
        providers = [provider]
    }
}
