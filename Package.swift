// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

let package = Package(
    name: "martlet",
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1", traits: []),
        .package(url: "https://github.com/hummingbird-project/swift-mustache.git", from: "2.1.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.8.0"),
    ],
    targets: [
        // C libraries: module maps and shims, each imported by exactly one room.
        .systemLibrary(name: "CLibSSH2", pkgConfig: "libssh2", providers: [.apt(["libssh2-1-dev"])]),
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CLibCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        // Without pkgConfig: its -D flag makes SwiftPM warn; the module map's `link` suffices.
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(name: "CLinux"),

        // Rooms, lowest first. A room imports only rooms above it in this list (checked by .ci/check-imports).
        .target(name: "EventLoop", dependencies: ["CLinux"], swiftSettings: settings),
        .target(name: "Telemetry", swiftSettings: settings),

        .target(name: "Cryptography", dependencies: ["CCrypto"], swiftSettings: settings),
        .target(name: "HTTPTransport", dependencies: ["CLibCurl", "EventLoop"], swiftSettings: settings),
        .target(name: "WebSocket", dependencies: ["Cryptography"], swiftSettings: settings),
        .target(
            name: "SSH", dependencies: ["CLibSSH2", "Cryptography", "EventLoop", logging], swiftSettings: settings),
        .target(
            name: "Providers", dependencies: ["Cryptography", "EventLoop", "HTTPTransport", logging],
            swiftSettings: settings),

        .target(
            name: "Redis", dependencies: ["CHiredis", "EventLoop", logging], swiftSettings: settings),
        .target(
            name: "JobQueue", dependencies: ["EventLoop", "Redis", lifecycle, logging], swiftSettings: settings),
        .target(
            name: "PostgreSQL", dependencies: ["CLibPQ", "EventLoop", logging], swiftSettings: settings),

        .target(
            name: "Fleet", dependencies: ["Cryptography", "EventLoop", "JobQueue", "PostgreSQL", "Redis", logging],
            swiftSettings: settings),
        .target(
            name: "Execution", dependencies: ["EventLoop", "Fleet", "JobQueue", "Redis", "SSH", logging],
            swiftSettings: settings),
        .target(
            name: "Worker",
            dependencies: [
                "Cryptography", "Execution", "Fleet", "JobQueue", "PostgreSQL", "Providers", "Telemetry", lifecycle,
                logging,
            ],
            swiftSettings: settings),

        .target(
            name: "Gateway",
            dependencies: [
                "Cryptography", "EventLoop", "Execution", "Fleet", "JobQueue", "PostgreSQL", "Redis", "SSH",
                "Telemetry", "WebSocket",
                lifecycle, logging,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Mustache", package: "swift-mustache"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOExtras", package: "swift-nio-extras"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            exclude: ["Pages/Resources"], resources: [.embedInCode("TRPC/AppRouter.d.ts")], swiftSettings: settings),
        .target(name: "Client", dependencies: ["EventLoop", "HTTPTransport"], swiftSettings: settings),
        .target(
            name: "Operator",
            dependencies: [
                "Cryptography", "EventLoop", "Execution", "Fleet", "JobQueue", "PostgreSQL", "Providers", "Redis",
                logging,
            ],
            swiftSettings: settings),

        .executableTarget(
            name: "martlet",
            dependencies: [
                "Client", "Cryptography", "EventLoop", "Execution", "Fleet", "Gateway", "OVHSimulator", "Operator",
                "PostgreSQL", "Providers", "Redis", "Telemetry", "Worker", lifecycle, logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings),

        // Fixtures and helpers of the test targets: live servers, temporary directories.
        .target(
            name: "TestSupport",
            dependencies: ["Cryptography", "EventLoop", "HTTPTransport", "PostgreSQL", "Redis", "SSH", logging],
            path: "Tests/TestSupport", swiftSettings: settings),

        // A worker in a process of its own, to be killed by the queue's tests and measured by Benchmarks/queue.
        .executableTarget(
            name: "JobQueueProbe",
            dependencies: [
                "JobQueue", "Redis", logging, .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/JobQueueProbe", swiftSettings: settings),

        // A pretended OVHcloud, for tests and for 'martlet dev ovh-simulator'.
        .target(
            name: "OVHSimulator",
            dependencies: [
                "Cryptography", "EventLoop", logging,
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Tests/OVHSimulator", swiftSettings: settings),

        .testTarget(name: "ClientTests", dependencies: ["Client", "TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "OperatorTests", dependencies: ["EventLoop", "Operator", "TestSupport", logging],
            swiftSettings: settings),
        .testTarget(
            name: "SSHTests", dependencies: ["Cryptography", "EventLoop", "SSH", "TestSupport", logging],
            swiftSettings: settings),
        .testTarget(
            name: "JobQueueTests",
            dependencies: ["EventLoop", "JobQueue", "JobQueueProbe", "Redis", "TestSupport", lifecycle, logging],
            exclude: ["Python"], swiftSettings: settings),
        .testTarget(
            name: "RedisTests", dependencies: ["EventLoop", "Redis", "TestSupport", logging],
            swiftSettings: settings),
        .testTarget(
            name: "PostgreSQLTests", dependencies: ["EventLoop", "PostgreSQL", "TestSupport", logging],
            swiftSettings: settings),
        .testTarget(
            name: "ExecutionTests",
            dependencies: [
                "Cryptography", "EventLoop", "Execution", "Fleet", "JobQueue", "PostgreSQL", "Redis", "SSH",
                "TestSupport",
                logging,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "FleetTests",
            dependencies: ["Cryptography", "Fleet", "JobQueue", "PostgreSQL", "Redis", "TestSupport", logging],
            swiftSettings: settings),
        .testTarget(
            name: "WorkerTests",
            dependencies: [
                "Cryptography", "EventLoop", "Execution", "Fleet", "JobQueue", "PostgreSQL", "Providers", "Redis",
                "Telemetry", "TestSupport", "Worker", lifecycle, logging,
            ],
            swiftSettings: settings),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Cryptography", "EventLoop", "Execution", "Fleet", "Gateway", "JobQueue", "PostgreSQL", "Redis", "SSH",
                "Telemetry", "TestSupport", "WebSocket", lifecycle, logging,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "Client", "EventLoop", "HTTPTransport", "OVHSimulator", "TestSupport", "martlet",
            ],
            exclude: ["Browser"], swiftSettings: settings),
        .testTarget(name: "EventLoopTests", dependencies: ["EventLoop"], swiftSettings: settings),
        .testTarget(name: "WebSocketTests", dependencies: ["WebSocket"], swiftSettings: settings),
        .testTarget(name: "TelemetryTests", dependencies: ["Telemetry"], swiftSettings: settings),
        .testTarget(
            name: "CryptographyTests", dependencies: ["Cryptography", "EventLoop"], swiftSettings: settings),
        .testTarget(
            name: "HTTPTransportTests", dependencies: ["HTTPTransport", "EventLoop"], swiftSettings: settings),
        .testTarget(
            name: "ProvidersTests",
            dependencies: [
                "Cryptography", "EventLoop", "HTTPTransport", "OVHSimulator", "Providers", "SSH", "TestSupport",
                logging,
            ],
            swiftSettings: settings),
    ]
)
