/// How tRPC is served.
package struct TRPCConfiguration: Sendable {
    /// Most calls in one request. They are made at the same time.
    package var batchLimit = 50
    /// Whether queries and subscriptions may be sent by `POST`, for inputs that no URL holds (`methodOverride: 'POST'`
    /// in the client).
    package var allowsMethodOverride = false
    /// Pages of these origins may read answers in a browser; written as in the header, `https://app.example.org`.
    package var allowedOrigins: Set<String> = []
    /// How often a stream shows that it lives; less than what follows.
    package var pingInterval: Duration = .seconds(10)
    /// After how much silence a client is to open a tracked subscription again.
    package var reconnectAfterInactivity: Duration = .seconds(30)

    package init() {}
}
