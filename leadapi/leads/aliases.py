"""What forms and files of others call the fields of a lead, in the eight languages of the pages."""

import unicodedata

# Parts of a name, for forms and files that have no single field for it. NAME is the whole name, unless one of the other
# two is there: a German form asks for "Vorname" and "Name", an Italian one for "Nome" and "Cognome".
FIRST_NAME, NAME, LAST_NAME = "first_name", "name", "last_name"

SPELLINGS = {
    "full_name": """
        full name, your name, your full name, contact name, customer name, client name, lead name,
        vollständiger name, ihr name, dein name, name und vorname, vor- und nachname,
        nom complet, votre nom, nom et prénom, prénom et nom, nombre completo, su nombre, tu nombre, nombre y apellidos,
        nome completo, seu nome, il tuo nome, nome e cognome, volledige naam, uw naam, je naam, imię i nazwisko
    """,
    FIRST_NAME: """
        first name, f name, given name, forename, your first name, vorname, ihr vorname, prénom, votre prénom,
        primer nombre, primeiro nome, voornaam, imię
    """,
    NAME: "name, nom, nombre, nome, naam",
    LAST_NAME: """
        last name, l name, surname, family name, your last name, nachname, ihr nachname, familienname,
        nom de famille, apellido, apellidos, sobrenome, apelido, cognome, achternaam, nazwisko
    """,
    "email": """
        email, email address, your email, your email address, email id, mail, mail address, contact email, user email,
        work email, business email, company email, personal email, primary email, email 1,
        e-mail-adresse, mailadresse, ihre e-mail, ihre e-mail-adresse, deine e-mail,
        courriel, adresse e-mail, adresse mail, adresse électronique, votre e-mail, votre adresse e-mail,
        correo, correo electrónico, dirección de correo electrónico, su correo, tu correo, su email, tu email,
        endereço de e-mail, correio eletrônico, correio eletrónico, seu e-mail,
        indirizzo e-mail, indirizzo email, posta elettronica, la tua email,
        e-mailadres, mailadres, uw e-mailadres, je e-mailadres, adres e-mail, adres email, twój e-mail
    """,
    "company": """
        company, company name, your company, company / account, account name, organization, organisation,
        organization name, organisation name, business name,
        firma, firmenname, unternehmen, ihre firma, ihr unternehmen, entreprise, société, nom de l'entreprise,
        empresa, nombre de la empresa, compañía, nome da empresa, azienda, società, ragione sociale,
        bedrijf, bedrijfsnaam, nazwa firmy
    """,
    "message": """
        message, your message, comment, comments, your comment, your comments, enquiry, inquiry, your enquiry,
        your inquiry, nachricht, ihre nachricht, deine nachricht, kommentar, anfrage, ihre anfrage,
        votre message, commentaire, commentaires, mensaje, su mensaje, tu mensaje, comentario, comentarios,
        mensagem, sua mensagem, comentário, messaggio, il tuo messaggio, commento,
        bericht, uw bericht, je bericht, opmerking, opmerkingen, wiadomość, treść wiadomości, twoja wiadomość
    """,
    "source": "source, lead source",
}


def field_of(label: str) -> str | None:
    """The field of a lead, or the part of its name, that a label stands for; None for any other label.

    Case, accents, spaces and punctuation do not matter. Of `contact[email]` only `email` counts.
    """
    text = label[:200]
    if text.endswith("]"):
        text = text[:-1].rpartition("[")[2]
    return _fields.get(_normalize(text))


def _normalize(label: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", label.casefold())))


_fields = {_normalize(spelling): field for field, spellings in SPELLINGS.items() for spelling in spellings.split(",")}
