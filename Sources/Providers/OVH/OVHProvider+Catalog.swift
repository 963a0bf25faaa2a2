import Foundation

extension OVHProvider: VMCatalog {
    /// Those of the configured region. Prices are in another API of OVH's, of which no key here speaks.
    package func listFlavors() async throws -> [VMFlavor] {
        let region = configuration.region
        return try await catalogued("Flavours not listed") {
            try await flavors(in: region).filter { $0.isOffered(in: region, kinds: configuration.flavorKinds) }
                .sorted { $0.isCheaper(than: $1) }
                .map { flavor in
                    VMFlavor(
                        id: flavor.id, name: flavor.name, region: flavor.region ?? region, vcpus: flavor.vcpus,
                        memoryMb: (flavor.ramGB ?? 0) << 10, diskMb: (flavor.disk ?? 0) << 10,
                        available: flavor.isAvailable)
                }
        }
    }

    package func listRegions() async throws -> [VMRegion] {
        try await catalogued("Regions not listed") {
            try await regionCache.value(for: "") { [client] in try await client.regions().sorted() }
                .map { VMRegion(id: $0, name: $0, available: true) }
        }
    }

    private func catalogued<Result>(_ undone: String, _ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch let error as OVHError { throw ProviderError(error, undone) }
    }
}

extension OVHProvider {
    /// The Debian packages of the languages in a folder of runtimes, which Ubuntu's are called too.
    package static func packages(of runtimes: String) -> [String] {
        struct Runtime: Decodable { var packages: [String]? }
        let names = Files.names(in: runtimes).flatMap { folder in
            Files.bytes(of: "\(runtimes)/\(folder)/runtime.json")
                .flatMap { try? JSONDecoder().decode(Runtime.self, from: Data($0)) }?.packages ?? []
        }
        return Set(names).sorted()
    }
}
