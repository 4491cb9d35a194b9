#include "certificate.h"
#include "flow.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static FILE *create(const char *path)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    return file;
}

static void extend(X509 *certificate, int what, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, what, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static X509 *sign(const char *name, EVP_PKEY *key, X509_NAME *issuer, EVP_PKEY *issuer_key,
                  bool is_authority)
{
    static long serial;
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, issuer ? issuer : subject);
    if (is_authority)
        extend(certificate, NID_basic_constraints, "critical,CA:TRUE");
    else
        extend(certificate, NID_subject_alt_name, "IP:127.0.0.1");
    ck_assert_int_gt(X509_sign(certificate, issuer_key, EVP_sha256()), 0);
    return certificate;
}

static void write_certificate(const char *path, X509 *certificate)
{
    FILE *file = create(path);
    PEM_write_X509(file, certificate);
    fclose(file);
}

struct certificate certificate_make(const char *name)
{
    struct certificate files = {textf("%s/%s-authority.pem", flow_dir(), name),
                                textf("%s/%s.pem", flow_dir(), name),
                                textf("%s/%s.key", flow_dir(), name)};
    EVP_PKEY *authority_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *authority = sign(textf("%s authority", name), authority_key, NULL, authority_key, true);
    X509 *certificate = sign(name, key, X509_get_subject_name(authority), authority_key, false);
    write_certificate(files.authority, authority);
    write_certificate(files.file, certificate);
    FILE *file = create(files.key);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    X509_free(authority);
    EVP_PKEY_free(key);
    EVP_PKEY_free(authority_key);
    return files;
}

char *certificate_yaml(const struct certificate *certificate)
{
    return textf("tls:\n  certificate: %s\n  key: %s\n", certificate->file, certificate->key);
}
